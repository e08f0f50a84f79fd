"""Loads a model and its tokenizer: an alias, a local folder, or a hub id."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ultraedit.errors import ModelError
from ultraedit.model import smollm2
from ultraedit.model.fastest import fastest_dtype, slow_here
from ultraedit.quiet import no_progress_bars

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

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
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model ready for editing (eval mode, frozen).

    dtype: "auto" (the checkpoint's), "float32", "bfloat16", "float16" or "fastest" (measured on this machine).
    Raises ModelError, in one sentence, if it is not there, is not a causal model, or does not fit.
    """
    if dtype not in ("auto", "fastest", *DTYPES):
        raise ModelError(f'dtype "{dtype}" is unknown; use auto, {", ".join(DTYPES)} or fastest.')
    source = resolve(name)
    _refuse_stray_path(str(name), source)
    where = _device(device)
    wanted = fastest_dtype(device) if dtype == "fastest" else DTYPES.get(dtype, "auto")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        with no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=wanted, **options)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise ModelError(f"'{name}' could not be loaded: {_first_line(error)}") from error
        raise ModelError(
            f"'{name}' does not fit into memory{_size_hint(source)}; use --dtype bfloat16, a smaller model, or a "
            "machine with more memory."
        ) from error
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"'{name}' could not be loaded as a causal language model: {_first_line(error)}; give a local folder, "
            f"a hub id you can reach, or the alias '{smollm2.ALIAS}'."
        ) from error
    model.to(where)  # type: ignore[arg-type]
    if dtype == "auto":
        _warn_if_slow(str(name), model, device)
    return model.eval().requires_grad_(False), tokenizer


def _warn_if_slow(name: str, model: PreTrainedModel, device: str) -> None:
    """Many checkpoints are in bfloat16, and a processor without instructions for it takes 60 times as long."""
    if model.num_parameters() > SMALL and slow_here(model.dtype, device):
        kept = str(model.dtype).removeprefix("torch.")
        warnings.warn(
            f"'{name}' is in {kept}, which this processor multiplies more than ten times slower than float32; use "
            '--dtype fastest (in Python dtype="fastest") if its float32 weights fit into memory.',
            stacklevel=3,
        )


def _refuse_stray_path(name: str, source: str) -> None:
    path = Path(source)
    if path.is_dir():
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
            f'device "{name}" cannot be used here ({_first_line(error)}); use cpu, or cuda where there is one.'
        ) from error
    return device


def _size_hint(source: str) -> str:
    folder = Path(source)
    if not folder.is_dir():
        return ""
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    return f" (its weights take {size / 2**30:.1f} GiB on disk)" if size else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
