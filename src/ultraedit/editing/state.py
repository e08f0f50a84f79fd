"""What must be kept to go on editing: shifts, statistics, counters.

Its size does not depend on how many edits there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ultraedit.core.preserve import DenseMetric, SketchMetric
from ultraedit.core.spread import Spread
from ultraedit.core.statistics import Moments, PublishedMoments, WhitenedMoments
from ultraedit.editing.turn import Calibration, Statistics


@dataclass(frozen=True)
class EditorState:
    """A snapshot; the tensors are copies."""

    shifts: dict[str, Float[Tensor, "_ _"]]
    """Module name -> fp32 shift in the parameter's own orientation."""
    statistics: Statistics
    edits: int
    turns: int


def statistics_tensors(statistics: Statistics) -> dict[str, Tensor]:
    """The statistics as named tensors, for safetensors.  `statistics_from_tensors` is the inverse, to the bit."""
    import torch

    out: dict[str, Tensor] = {}
    for i, m in enumerate(statistics.moments):
        out[f"moments.{i}.count"] = torch.tensor(m.count, dtype=torch.int64)
        if isinstance(m, Spread):
            out[f"moments.{i}.energy"] = m.energy.clone()
            out[f"moments.{i}.rows"] = m.rows.clone()
        else:
            out[f"moments.{i}.mean"] = m.mean.clone()
            out[f"moments.{i}.m2"] = m.m2.clone()
    for (d_in, d_out), p in statistics.published.items():
        key = f"published.{d_in}x{d_out}"
        out[f"{key}.count"] = torch.tensor(p.count, dtype=torch.float64)
        out[f"{key}.mean"] = p.mean.clone()
        out[f"{key}.var"] = p.var.clone()
        out[f"{key}.std"] = p.std.clone()
        if isinstance(p, WhitenedMoments):
            out[f"{key}.covariance"] = p.covariance.clone()
    return out | _metric_tensors(statistics.metrics)


def statistics_from_tensors(tensors: dict[str, Tensor]) -> Statistics:
    """Raises KeyError where a tensor is missing."""
    count = sum(name.startswith("moments.") and name.endswith(".count") for name in tensors)
    kind = _spread if "moments.0.rows" in tensors else _moments
    moments = tuple(kind(tensors, i) for i in range(count))
    published = {}
    for name in tensors:
        if name.startswith("published.") and name.endswith(".count"):
            shape = name.split(".")[1]
            d_in, d_out = (int(n) for n in shape.split("x"))
            key = f"published.{shape}"
            made = PublishedMoments(
                float(tensors[f"{key}.count"]),
                tensors[f"{key}.mean"],
                tensors[f"{key}.var"],
                tensors[f"{key}.std"],
            )
            if f"{key}.covariance" in tensors:
                covariance = tensors[f"{key}.covariance"]
                made = WhitenedMoments(made.count, made.mean, made.var, made.std, covariance)
            published[(d_in, d_out)] = made
    return Statistics(moments, published, _metrics(tensors))


def _moments(tensors: dict[str, Tensor], i: int) -> Moments:
    key = f"moments.{i}"
    return Moments(int(tensors[f"{key}.count"]), tensors[f"{key}.mean"], tensors[f"{key}.m2"])


def _spread(tensors: dict[str, Tensor], i: int) -> Spread:
    key = f"moments.{i}"
    return Spread(int(tensors[f"{key}.count"]), tensors[f"{key}.energy"], tensors[f"{key}.rows"])


def calibration_tensors(calibration: Calibration) -> dict[str, Tensor]:
    """The calibration as named tensors, for safetensors.  `calibration_from_tensors` is the inverse, to the bit."""
    import torch

    norms = torch.tensor(calibration.output_norms, dtype=torch.float64)
    return {"output_norms": norms} | _metric_tensors(calibration.metrics)


def calibration_from_tensors(tensors: dict[str, Tensor]) -> Calibration:
    """Raises KeyError where a tensor is missing."""
    return Calibration(tuple(tensors["output_norms"].tolist()), _metrics(tensors))


def _metric_tensors(metrics: Sequence[DenseMetric | SketchMetric]) -> dict[str, Tensor]:
    import torch

    out: dict[str, Tensor] = {}
    for i, metric in enumerate(metrics):
        if isinstance(metric, DenseMetric):
            out[f"metrics.{i}.matrix"] = metric.matrix
        else:
            out[f"metrics.{i}.rows"] = metric.rows
            out[f"metrics.{i}.rank"] = torch.tensor(metric.rank, dtype=torch.int64)
    return out


def _metrics(tensors: dict[str, Tensor]) -> tuple[DenseMetric | SketchMetric, ...]:
    metrics: list[DenseMetric | SketchMetric] = []
    while True:
        key = f"metrics.{len(metrics)}"
        if f"{key}.matrix" in tensors:
            metrics.append(DenseMetric(tensors[f"{key}.matrix"]))
        elif f"{key}.rows" in tensors:
            metrics.append(SketchMetric(tensors[f"{key}.rows"], int(tensors[f"{key}.rank"])))
        else:
            return tuple(metrics)
