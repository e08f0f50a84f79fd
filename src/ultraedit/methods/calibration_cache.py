"""Calibrations kept on disk: measuring the text takes seconds, and its result depends on nothing but its inputs.

A file's name is a digest of all that the result depends on, so a file is either right or not found.  The cache is a
help and never in the way: what cannot be read is measured again, and what cannot be written is told and not kept.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from ultraedit.core.metric import SKETCH_RANK, DenseMetric, SketchMetric
from ultraedit.io.atomic import new_file
from ultraedit.io.digest import bit_sums
from ultraedit.methods.base import Calibration
from ultraedit.methods.own_answers import answer_tensors, answers_from_tensors
from ultraedit.model.devices import held_parameters, offloaded
from ultraedit.model.quantised import scales
from ultraedit.model.smollm2 import cache_dir
from ultraedit.model.weights import EditedWeight

FORMAT = 2
"""Raised with every change of what is measured, or how: another version must not find what this one kept.  A test
holds the numbers of one small model to it."""
KEPT = 8
"""Files that stay; the oldest go first."""


def place(name: str) -> Path | None:
    """Where a calibration is kept; None where this user has no cache folder."""
    try:
        return cache_dir() / "calibration" / f"{name}.safetensors"
    except RuntimeError:  # no home folder
        return None


def digest(
    model: PreTrainedModel,
    weights: Sequence[EditedWeight],
    windows: Sequence[list[int]],
    settings: Sequence[float],
) -> str:
    """Name for a calibration.  Reads every parameter and buffer once, where it lies."""
    config = getattr(model, "config", None)
    described = {} if config is None else config.to_dict()
    for key in ("_name_or_path", "transformers_version", "architectures"):
        described.pop(key, None)
    known = [
        FORMAT,
        torch.__version__,
        transformers.__version__,
        json.dumps(described, sort_keys=True, default=str),
        [w.name for w in weights],
        list(windows),
        list(settings),
    ]
    found = hashlib.sha256(repr(known).encode())
    for name, tensor in chain(held_parameters(model), model.named_buffers()):
        if tensor.is_meta:  # a buffer that is offloaded with its module
            tensor = offloaded(model, name)
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.device.type}".encode())
        found.update(bit_sums(tensor))
        for scale in scales(tensor):
            found.update(bit_sums(scale))
    return found.hexdigest()


def read(file: Path, weights: Sequence[EditedWeight], device: torch.device) -> Calibration | None:
    """None where there is no such file, or not a whole one for these weights."""
    try:
        tensors = load_file(file, device=str(device))
    except (OSError, SafetensorError, RuntimeError):
        return None
    metrics: list[DenseMetric | SketchMetric] = []
    while (name := f"dense.{len(metrics)}") in tensors or f"sketch.{len(metrics)}" in tensors:
        if name in tensors:
            metrics.append(DenseMetric(tensors[name]))
        else:
            metrics.append(SketchMetric(tensors[f"sketch.{len(metrics)}"], SKETCH_RANK))
    norms = tensors.get("output_norms")
    widths = [w.projection.d_in for w in weights]
    found = [(m.matrix if isinstance(m, DenseMetric) else m.rows).shape[-1] for m in metrics]
    if norms is None or norms.shape != (len(weights),) or found not in ([], widths):
        return None
    if not bool((norms > 0).all()):
        return None
    sizes = tensors.get("key_sizes")
    if sizes is not None and not (sizes.shape == norms.shape and bool((sizes > 0).all())):
        return None
    return Calibration(
        tuple(norms.tolist()),
        tuple(metrics),
        () if sizes is None else tuple(sizes.tolist()),
        answers_from_tensors(tensors),
    )


def keep(file: Path, calibration: Calibration) -> None:
    """`write`, if it can be; where it cannot, one line says so and editing goes on."""
    try:
        write(file, calibration)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        warnings.warn(
            f"the measured text could not be kept in '{file.parent}' ({why}), so it is measured again each time; set "
            "ULTRAEDIT_CACHE to a folder that can be written.",
            stacklevel=2,
        )


def write(file: Path, calibration: Calibration) -> None:
    """Write the file whole or not at all; then let the oldest files go."""
    tensors: dict[str, Tensor] = {
        "output_norms": torch.tensor(calibration.output_norms, dtype=torch.float64)
    }
    if calibration.key_sizes:
        tensors["key_sizes"] = torch.tensor(calibration.key_sizes, dtype=torch.float64)
    tensors |= answer_tensors(calibration.answers)
    for i, metric in enumerate(calibration.metrics):
        dense = isinstance(metric, DenseMetric)
        kept = metric.matrix if dense else metric.rows
        tensors[f"{'dense' if dense else 'sketch'}.{i}"] = kept.contiguous()
    file.parent.mkdir(parents=True, exist_ok=True)
    with new_file(file) as made:
        save_file(tensors, made)
    by_age = sorted(file.parent.glob("*.safetensors"), key=lambda f: f.stat().st_mtime)
    for old in by_age[:-KEPT]:
        old.unlink(missing_ok=True)
