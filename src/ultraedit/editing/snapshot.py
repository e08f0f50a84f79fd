"""What must be kept to go on editing: shifts, what the method remembers, counters.

Its size does not depend on how many edits there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.methods.base import Calibration, State
from ultraedit.methods.own_answers import answer_tensors, answers_from_tensors
from ultraedit.methods.ultraedit import load_metrics, metric_tensors


@dataclass(frozen=True)
class Snapshot:
    """A snapshot.  Nobody writes into its tensors: the editor shares them."""

    shifts: dict[str, Float[Tensor, "_ _"]]
    """Module name -> fp32 shift in the parameter's own orientation."""
    statistics: State
    edits: int
    turns: int


def calibration_tensors(calibration: Calibration) -> dict[str, Tensor]:
    """The calibration as named tensors, for safetensors.  `calibration_from_tensors` is the inverse, to the bit."""
    norms = torch.tensor(calibration.output_norms, dtype=torch.float64)
    tensors = {"output_norms": norms} | metric_tensors(calibration.metrics)
    if calibration.key_sizes:
        tensors["key_sizes"] = torch.tensor(calibration.key_sizes, dtype=torch.float64)
    return tensors | answer_tensors(calibration.answers)


def calibration_from_tensors(tensors: Mapping[str, Tensor]) -> Calibration:
    """In memory.  Raises KeyError where a tensor is missing."""
    norms = tuple(tensors["output_norms"].tolist())
    measured = any(name.startswith("metrics.") for name in tensors)
    sizes = tensors["key_sizes"].tolist() if "key_sizes" in tensors else ()
    places = (torch.device("cpu"),) * len(norms) if measured else ()
    metrics = load_metrics(tensors, places)
    return Calibration(norms, metrics, tuple(sizes), answers_from_tensors(tensors))
