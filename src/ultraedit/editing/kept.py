"""Calibrations kept on disk: measuring the text takes seconds, and its result depends on nothing but its inputs.

A file's name is a digest of every parameter of the model, the tokens, the edited modules, the settings and the code
that measures, so a file is either right or not found.  A file that cannot be read is measured again and replaced.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ultraedit.core import preserve
from ultraedit.core.preserve import SKETCH_RANK, DenseMetric, SketchMetric
from ultraedit.methods.base import Calibration
from ultraedit.model import trace
from ultraedit.model.weights import EditedWeight

KEPT = 8
"""Files that stay; the oldest go first."""


def _code() -> bytes:
    """The source of all that measures: another version of this library must not find what this one kept."""
    from ultraedit.editing import calibrate

    return "".join(inspect.getsource(m) for m in (calibrate, preserve, trace)).encode()


def digest(
    model: nn.Module,
    weights: Sequence[EditedWeight],
    windows: Sequence[list[int]],
    settings: Sequence[float],
) -> str:
    """Name for a calibration.  Reads every parameter once: half a second for 135 million of them."""
    found = hashlib.sha256(_code() + repr((list(windows), list(settings))).encode())
    for w in weights:
        found.update(w.name.encode())
    for name, p in model.named_parameters():
        raw = p.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        found.update(f"{name} {p.dtype} {tuple(p.shape)} {zlib.crc32(raw.data)}".encode())
    return found.hexdigest()


def read(file: Path, device: torch.device) -> Calibration | None:
    """None where there is no such file, or not a whole one."""
    if not file.exists():
        return None
    try:
        tensors = load_file(file, device=str(device))
    except (OSError, SafetensorError):
        return None
    metrics: list[DenseMetric | SketchMetric] = []
    while (name := f"dense.{len(metrics)}") in tensors or f"sketch.{len(metrics)}" in tensors:
        if name in tensors:
            metrics.append(DenseMetric(tensors[name]))
        else:
            metrics.append(SketchMetric(tensors[f"sketch.{len(metrics)}"], SKETCH_RANK))
    return Calibration(tuple(tensors["output_norms"].tolist()), tuple(metrics))


def write(file: Path, calibration: Calibration) -> None:
    """Write to a temporary name, fsync, rename; then let the oldest files go."""
    tensors: dict[str, Tensor] = {
        "output_norms": torch.tensor(calibration.output_norms, dtype=torch.float64)
    }
    for i, metric in enumerate(calibration.metrics):
        dense = isinstance(metric, DenseMetric)
        kept = metric.matrix if dense else metric.rows
        tensors[f"{'dense' if dense else 'sketch'}.{i}"] = kept.contiguous()
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    save_file(tensors, scratch)
    with scratch.open("rb") as handle:
        os.fsync(handle.fileno())
    scratch.rename(file)
    by_age = sorted(file.parent.glob("*.safetensors"), key=lambda f: f.stat().st_mtime)
    for old in by_age[:-KEPT]:
        old.unlink(missing_ok=True)
