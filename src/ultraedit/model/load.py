"""Loads a model and its tokenizer: an alias, a local folder, or a hub id."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

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

LOGGERS = ("transformers.modeling_utils", "transformers.distributed", "huggingface_hub", *LOGS)
"""Who logs a table of missing and unexpected tensors, how layers would be split, and each try to reach the hub: what
matters of it is read and told here."""

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
    trust_remote_code: bool = False,
    quantize: str | None = None,
    keep: Sequence[str] = (),
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model ready for editing (eval mode, frozen).

    dtype: "auto" (the checkpoint's), "float32", "bfloat16", "float16" or "fastest" (measured on this machine).
    quantize: "4bit" or "8bit", for all weights but those of the maps that `keep` chooses; None loads them as they are.
    Raises ModelError, in one sentence, if it is not there, is not a causal model, or does not fit.
    """
    if dtype not in ("auto", "fastest", *DTYPES):
        raise ModelError(f'dtype "{dtype}" is unknown; use auto, {", ".join(DTYPES)} or fastest.')
    source = resolve(name)
    refuse_stray_path(str(name), source)
    where = _device(device)
    wanted = fastest_dtype(device) if dtype == "fastest" else DTYPES.get(dtype, "auto")
    config = read_config(str(name), source, trust_remote_code)
    refuse_other_kinds(str(name), config)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    placed: dict[str, Any] = {"device_map": {"": where}}
    if quantize is not None:
        chosen = quantisation(str(name), config, quantize, keep, wanted, trust_remote_code)
        placed["quantization_config"] = chosen
    elif not is_quantised(config):
        placed = {}
    part = "tokenizer"
    try:
        with no_progress_bars(), no_logs(*LOGGERS):
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            part = "weights"
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=wanted,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that the report names them
                **options,
                **placed,
            )
    except Exception as error:  # a damaged file or a checkpoint's own code can raise anything
        if isinstance(error, MemoryError | RuntimeError) and _is_memory(error):
            raise ModelError(
                f"'{name}' does not fit into memory{_size_hint(source)}; use --dtype bfloat16, a smaller model, or a "
                "machine with more memory."
            ) from error
        if getattr(config, "quantization_config", None):
            raise unreadable_quantised(str(name), config, error) from error
        raise unreadable(str(name), source, part, error) from error
    model, report = loaded
    refuse_incomplete(str(name), model, report)
    refuse_foreign_tokenizer(str(name), model, tokenizer)
    if not placed:
        model.to(where)  # type: ignore[arg-type]
    keep_gradients(model)
    if dtype == "auto":
        _warn_if_slow(str(name), model, device)
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
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f'device "{name}" cannot be used here ({one_line(error)}); use cpu, or cuda where there is one.'
        ) from error
    return device


def _size_hint(source: str) -> str:
    folder = Path(source)
    if not folder.is_dir():
        return ""
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    return f" (its weights take {size / 2**30:.1f} GiB on disk)" if size else ""
