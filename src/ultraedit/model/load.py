"""Loads a model and its tokenizer: an alias, a local folder, or a hub id."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ultraedit import arguments
from ultraedit.arguments import DeviceMap
from ultraedit.errors import ModelError
from ultraedit.model import smollm2
from ultraedit.model.checkpoint import (
    one_line,
    read_config,
    refuse_both_ways,
    refuse_foreign_tokenizer,
    refuse_incomplete,
    refuse_other_kinds,
    unreadable,
    unreadable_quantised,
)
from ultraedit.model.dtype import fastest_dtype, slow_here
from ultraedit.model.quantised import LOGS, is_quantised, keep_gradients, quantisation
from ultraedit.quiet import no_logs, no_progress_bars

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

LOGGERS = (
    "transformers.modeling_utils",
    "transformers.distributed",
    "huggingface_hub",
    "accelerate.big_modeling",
    *LOGS,
)
"""Who logs a table of missing and unexpected tensors, how layers would be split, each try to reach the hub, and what is
offloaded: what matters of it is read and told here."""

SMALL = 50_000_000
"""Parameters up to which no arithmetic is slow enough to say so."""


def resolve(name: str | Path) -> str:
    """Folder or hub id behind a name; the alias `smollm2` is obtained on first use."""
    if str(name) == smollm2.ALIAS and not Path(name).is_dir():
        return str(smollm2.smollm2_folder())
    return str(name)


def load(
    name: str | Path,
    *,
    dtype: str = "auto",
    device: str = "cpu",
    device_map: DeviceMap = None,
    trust_remote_code: bool = False,
    quantize: str | None = None,
    keep: Sequence[str] = (),
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model ready for editing (eval mode, frozen).

    dtype: "auto" (the checkpoint's), "float32", "bfloat16", "float16" or "fastest" (measured on this machine).
    device_map: how accelerate spreads it over devices and offloads it; None puts it on `device` whole.
    quantize: "4bit" or "8bit", for all weights but those of the maps that `keep` chooses; None loads them as they are.
    Raises ModelError, in one sentence, if it is not there, is not a causal model, or does not fit.
    """
    if dtype not in ("auto", "fastest", *DTYPES):
        raise ModelError(f'dtype "{dtype}" is unknown; use auto, {", ".join(DTYPES)} or fastest.')
    source = resolve(name)
    refuse_stray_path(str(name), source)
    arguments.one_place(device, device_map)
    where = _device(device) if device_map is None else None
    _require_devices(device_map)
    main = _main_device(device, device_map)
    wanted = fastest_dtype(main) if dtype == "fastest" else DTYPES.get(dtype, "auto")
    config = read_config(str(name), source, trust_remote_code)
    refuse_other_kinds(str(name), config)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if quantize is not None:
        options["quantization_config"] = quantisation(
            str(name), config, quantize, keep, wanted, trust_remote_code
        )
    # what is quantised goes where it will lie as it is read, and cannot be moved
    quantised = quantize is not None or is_quantised(config)
    part = "tokenizer"
    spread: dict[str, Any] = {"device_map": {"": where}} if quantised else {}
    cleared: Any = None
    if device_map is not None:  # written to only where a checkpoint's own files cannot be read from
        spread = {"device_map": device_map, "offload_folder": mkdtemp(prefix="ultraedit-offload-")}
        cleared = weakref.finalize(config, rmtree, spread["offload_folder"], ignore_errors=True)
    try:
        with no_progress_bars(), no_logs(*LOGGERS):
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
            part = "weights"
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=wanted,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that the report names them
                **options,
                **spread,
            )
            if isinstance(
                device_map, Mapping
            ):  # of one device transformers does not look whether it is all
                from accelerate.utils.modeling import check_device_map

                check_device_map(loaded[0], dict(device_map))
    except Exception as error:  # a damaged file or a checkpoint's own code can raise anything
        if isinstance(error, MemoryError | RuntimeError) and _is_memory(error):
            raise ModelError(
                f"'{name}' does not fit into memory{_size_hint(source)}; use --dtype bfloat16, a smaller model, or a "
                "machine with more memory."
            ) from error
        if device_map is not None and "device_map" in str(error):
            raise ModelError(
                f"'{name}' cannot be spread by device_map {arguments.quoted(device_map)} ({one_line(error)}); name a "
                'device for every module, as with "" for all that no other name covers.'
            ) from error
        if getattr(config, "quantization_config", None):
            raise unreadable_quantised(str(name), config, error) from error
        raise unreadable(str(name), source, part, error) from error
    model, report = loaded
    if cleared is not None:
        cleared.detach()
        weakref.finalize(model, rmtree, spread["offload_folder"], ignore_errors=True)
    refuse_incomplete(str(name), model, report)
    refuse_foreign_tokenizer(str(name), model, tokenizer)
    if where is not None and not quantised:
        model.to(where)  # type: ignore[arg-type]
    keep_gradients(model)
    if dtype == "auto":
        _warn_if_slow(str(name), model, main)
    model.eval().requires_grad_(False)
    refuse_both_ways(str(name), model)
    return model, tokenizer


def _warn_if_slow(name: str, model: PreTrainedModel, device: str) -> None:
    """Many checkpoints are in bfloat16, and a processor without instructions for it takes 60 times as long."""
    if model.num_parameters() > SMALL and slow_here(model.dtype, device):
        kept = str(model.dtype).removeprefix("torch.")
        warnings.warn(
            f"'{name}' is in {kept}, which this processor multiplies more than ten times slower than float32; use "
            '--dtype fastest (in Python dtype="fastest") if its float32 weights fit into memory.',
            stacklevel=3,
        )


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "memory" in str(error).lower()


def refuse_stray_path(name: str, source: str) -> None:
    """Raise ModelError for a path that leads to no saved model, so that it is not taken for a hub id."""
    path = Path(source)
    if path.is_dir():
        if (path / "adapter_config.json").is_file():
            raise ModelError(
                f"'{name}' holds a PEFT adapter and not a model of its own; merge it first (merge_and_unload, then "
                "save_pretrained) and name that folder."
            )
        if not (path / "config.json").exists():
            raise ModelError(
                f"'{name}' is a folder without a config.json, so it is not a saved model; name the folder that "
                "save_pretrained wrote."
            )
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"there is no folder '{name}'; check the path.")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f'device "{name}" cannot be used here ({one_line(error)}); use cpu, or cuda where there is one.'
        ) from error
    return device


def _main_device(device: str, device_map: DeviceMap) -> str:
    """Where most of the model is computed, which the speed of a dtype is measured on."""
    if device_map is None:
        return device
    if isinstance(device_map, str):
        return "cuda" if torch.cuda.is_available() else "cpu"
    places = [f"cuda:{p}" if isinstance(p, int) else p for p in device_map.values()]
    return next((p for p in places if p not in ("cpu", "disk")), "cpu")


def _require_devices(device_map: DeviceMap) -> None:
    """Raise ModelError for a map that names a device that is not here."""
    if isinstance(device_map, Mapping):
        for place in device_map.values():
            if place != "disk":
                _device(f"cuda:{place}" if isinstance(place, int) else place)


def _size_hint(source: str) -> str:
    folder = Path(source)
    if not folder.is_dir():
        return ""
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    return f" (its weights take {size / 2**30:.1f} GiB on disk)" if size else ""
