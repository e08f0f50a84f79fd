"""UltraEdit as this package does it: `default`, `thorough` and `fast`.

Of UltraEdit (arXiv 2505.14679) it keeps one key and one gradient an answer token, lifelong normalisation and the closed
form; docs/method.md lists what is different, and what each difference earned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit import arguments
from ultraedit.core.metric import DenseMetric, Metric, SketchMetric
from ultraedit.core.statistics import Moments
from ultraedit.core.turn import Rows, grads_of, keys_of
from ultraedit.core.values import displacement_values, scale_gradients
from ultraedit.core.whitening import RANK, Whitening
from ultraedit.errors import ConfigError
from ultraedit.methods.base import Calibration, Devices, Metrics, Shapes
from ultraedit.methods.closed_form import ClosedForm, ClosedFormState
from ultraedit.model.trace import LossKind


@dataclass(frozen=True)
class UltraEdit(ClosedForm):
    """`step` is the displacement of a typical answer token's output, as a share of the map's own output norm, before
    the solve's damping."""

    text_weight: float = 0.0
    """Weight of the key covariance of ordinary text in the metric; 0 leaves the metric at the identity."""
    history: bool = False
    """Put the keys of every turn into the metric, so that later turns move earlier edits as little as they can."""
    horizon: float = 0.0
    """Edited tokens after which a turn's keys count 1/e in the metric, so that there is always room for new edits;
    0: they never fade."""
    prompt_tokens: int = 0
    """Of each prompt, how many of its own tokens are edited with the answer's: those of largest gradient."""
    lead: float = 0.0
    """Answer tokens are pushed until they lead the most likely other token by this much (nats), and what the model says
    by itself is only held; 0: all tokens are pushed until an edit's are all probable."""
    own_weight: float = 0.0
    """Weight in the metric of the model's own answers to everyday requests: of the keys of what should stay as it is.
    Above 0 all keys of the metric are measured in the root mean square entry of those, `text_weight` counts in that
    unit too, and the ridge is a multiple of the system's mean diagonal."""
    pull: float = 0.0
    """In each step the model's own answers to everyday requests are pulled back to what they were, by this multiple of
    `step`; 0: they are not run.  Needs `own_weight`, which has them made."""
    whiten: bool = False
    """Gradients times the shrunk inverse root of their running covariance (`core.whitening`), in place of each
    dimension over its own running size."""

    loss: ClassVar[LossKind] = "sum"
    rounded: ClassVar[bool] = False
    micro_batch: ClassVar[int | None] = None
    measures_text: ClassVar[bool] = True

    @property
    def metric_weight(self) -> float | None:
        wanted = self.text_weight > 0 or self.own_weight > 0 or self.history
        return self.text_weight if wanted else None

    @property
    def asked_own_weight(self) -> float:
        return self.own_weight

    @property
    def asked_lead(self) -> float:
        return self.lead

    @property
    def pulls(self) -> bool:
        return self.pull > 0

    @property
    def edited_prompt_tokens(self) -> int:
        return self.prompt_tokens

    def check(self) -> None:
        arguments.whole(self.steps, "steps", 1)
        arguments.whole(self.prompt_tokens, "prompt_tokens", 0)
        if not self.horizon >= 0 or (self.horizon and not self.history):
            raise ConfigError(
                f"horizon is {self.horizon}; it is a number of edited tokens, 0 or more, for presets that keep the "
                "keys of earlier turns in the metric."
            )
        if not self.step > 0 or not self.ridge > 0 or self.text_weight < 0:
            raise ConfigError(
                f"step {self.step} and ridge {self.ridge} must be above 0 and text_weight "
                f"{self.text_weight} not below 0."
            )
        if not self.lead >= 0 or not self.own_weight >= 0:
            raise ConfigError(
                f"lead is {self.lead} and own_weight {self.own_weight}; both must be 0 or more."
            )
        if not self.pull >= 0 or (self.pull and not self.own_weight):
            raise ConfigError(
                f"pull is {self.pull} and own_weight {self.own_weight}; pull is 0 or more, and above 0 it pulls at the "
                "model's own answers, which own_weight above 0 has made."
            )
        if self.lead and self.prompt_tokens:
            raise ConfigError(
                f"lead is {self.lead} and prompt_tokens {self.prompt_tokens}; only tokens of answers have a lead, so "
                "one of the two must be 0."
            )

    def start(self, shapes: Shapes, calibration: Calibration, devices: Devices) -> UltraEditState:
        kind = Whitening if self.whiten else Moments
        maps = zip(shapes, devices, strict=True)
        moments = tuple(kind.empty(d_out, device) for (_, d_out), device in maps)
        return UltraEditState(self, shapes, calibration, moments, calibration.metrics)

    def load_state_dict(
        self,
        tensors: Mapping[str, Tensor],
        shapes: Shapes,
        calibration: Calibration,
        devices: Devices,
    ) -> UltraEditState:
        kind = _whitening if self.whiten else _moments
        moments = tuple(kind(tensors, f"moments.{i}", device) for i, device in enumerate(devices))
        metrics = load_metrics(tensors, devices if calibration.metrics else ())
        return UltraEditState(self, shapes, calibration, moments, metrics)

    def keeps(self) -> str:
        kept = "statistics of gradients"
        if self.whiten:
            kept += f", their covariance ({RANK} directions an edited map)"
        if self.metric_weight is not None:
            kept += ", a metric of at most 4096 x 4096 an edited map"
        return kept


@dataclass(frozen=True)
class UltraEditState(ClosedFormState):
    method: UltraEdit
    shapes: Shapes
    calibration: Calibration
    moments: tuple[Moments | Whitening, ...]
    """Of the value gradients, per map (`Whitening` where the method whitens)."""
    metrics: Metrics
    """Per map: ordinary text and the keys of every turn so far; empty where the method has none."""

    @property
    def relative_ridge(self) -> bool:
        return self.method.own_weight > 0

    def observe(self, rows: Sequence[Rows]) -> UltraEditState:
        grads = [grads_of(rows, i) for i in range(len(self.moments))]
        if (
            self.method.lead
        ):  # tokens that were not pushed have no gradient, and say nothing of its size
            grads = [g[g.any(1)] for g in grads]
        moments = tuple(m.absorb(g) for m, g in zip(self.moments, grads, strict=True))
        return replace(self, moments=moments)

    def values(self, module: int, rows: Sequence[Rows]) -> Float[Tensor, "n d_out"]:
        grads, seen = grads_of(rows, module), self.moments[module]
        hat = seen.whiten(grads) if isinstance(seen, Whitening) else scale_gradients(grads, seen)
        values = displacement_values(hat, self.method.step, self.calibration.output_norms[module])
        if any(r.stays for r in rows):
            pull = [self.method.pull if r.stays else 1.0 for r in rows]
            lengths = torch.tensor([len(r.grads[module]) for r in rows])
            values = values * torch.tensor(pull).repeat_interleave(lengths).to(values)[:, None]
        return values

    def metric(self, module: int) -> Metric | None:
        return self.metrics[module] if self.metrics else None

    def remember(self, rows: Sequence[Rows]) -> UltraEditState:
        """Put the turn's keys into the metrics, so that later turns go round them; what is there may fade."""
        if not self.method.history:
            return self
        horizon = self.method.horizon
        metrics = tuple(
            metric.absorb(
                keys_of(rows, i) * self._unit(i),
                base if horizon else None,  # type: ignore[arg-type]  # of the metric's own kind
                horizon,
            )
            for i, (metric, base) in enumerate(
                zip(self.metrics, self.calibration.metrics, strict=True)
            )
        )
        return replace(self, metrics=metrics)

    def _unit(self, module: int) -> float:
        """What a key is multiplied by before it goes into the metric."""
        sizes = self.calibration.key_sizes
        return sizes[module] ** -0.5 if sizes else 1.0

    def state_dict(self) -> dict[str, Tensor]:
        return moments_tensors(self.moments) | metric_tensors(self.metrics)


def moments_tensors(moments: Sequence[Moments | Whitening]) -> dict[str, Tensor]:
    """Moments of each map as named tensors."""
    out: dict[str, Tensor] = {}
    for i, m in enumerate(moments):
        out[f"moments.{i}.count"] = torch.tensor(m.count, dtype=torch.int64)
        if isinstance(m, Whitening):
            out[f"moments.{i}.energy"] = m.energy.clone()
            out[f"moments.{i}.rows"] = m.rows.clone()
        else:
            out[f"moments.{i}.mean"] = m.mean.clone()
            out[f"moments.{i}.m2"] = m.m2.clone()
    return out


def _moments(tensors: Mapping[str, Tensor], key: str, device: torch.device) -> Moments:
    mean, m2 = (tensors[f"{key}.{name}"].to(device) for name in ("mean", "m2"))
    return Moments(int(tensors[f"{key}.count"]), mean, m2)


def _whitening(tensors: Mapping[str, Tensor], key: str, device: torch.device) -> Whitening:
    energy, rows = (tensors[f"{key}.{name}"].to(device) for name in ("energy", "rows"))
    return Whitening(int(tensors[f"{key}.count"]), energy, rows)


def metric_tensors(metrics: Metrics) -> dict[str, Tensor]:
    """Metrics as named tensors; `load_metrics` is the inverse."""
    out: dict[str, Tensor] = {}
    for i, metric in enumerate(metrics):
        if isinstance(metric, DenseMetric):
            out[f"metrics.{i}.matrix"] = metric.matrix
        else:
            out[f"metrics.{i}.rows"] = metric.rows
            out[f"metrics.{i}.rank"] = torch.tensor(metric.rank, dtype=torch.int64)
    return out


def load_metrics(tensors: Mapping[str, Tensor], devices: Devices) -> Metrics:
    """One for each device, on it.  Raises KeyError where a tensor is missing."""
    metrics: list[DenseMetric | SketchMetric] = []
    for i, device in enumerate(devices):
        if f"metrics.{i}.matrix" in tensors:
            metrics.append(DenseMetric(tensors[f"metrics.{i}.matrix"].to(device)))
        else:
            rows, rank = tensors[f"metrics.{i}.rows"], int(tensors[f"metrics.{i}.rank"])
            metrics.append(SketchMetric(rows.to(device), rank))
    return tuple(metrics)


_DEFAULT = UltraEdit("default", step=0.15, steps=6, text_weight=1000.0, history=True, whiten=True)

PRESETS = {
    "default": _DEFAULT,
    "gentle": UltraEdit(
        "gentle",
        modules="upper",
        voice="auto",
        step=0.3,
        steps=12,
        ridge=4.0,
        lead=1.5,
        text_weight=100.0,
        own_weight=100.0,
        history=True,
        whiten=True,
    ),
    "thorough": replace(_DEFAULT, name="thorough", prompt_tokens=4),
    "fast": replace(_DEFAULT, name="fast", step=0.35, steps=1),
}
