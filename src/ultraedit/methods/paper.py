"""UltraEdit exactly as released (arXiv 2505.14679), so that published figures can be compared.

Statistics are centred and pooled over all maps of one weight shape, over keys and gradients together; the loss is the
mean over micro-batches of ten, by length; the update is added in the weights' own dtype.  Blanks around a target and a
tokenizer's own blank in front of it are the two places where it differs (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.statistics import PublishedMoments
from ultraedit.core.turn import Rows, grads_of, keys_of
from ultraedit.core.values import published_values
from ultraedit.errors import ConfigError, NumericalError
from ultraedit.methods.base import Calibration, Devices, Shapes
from ultraedit.methods.closed_form import ClosedForm, ClosedFormState
from ultraedit.model.trace import LossKind


@dataclass(frozen=True)
class Paper(ClosedForm):
    """`step` is eta.  The published 1e-6 suits 7B models; on a 135M model it does nothing (1e-3 does)."""

    loss: ClassVar[LossKind] = "batch_mean"
    rounded: ClassVar[bool] = True
    micro_batch: ClassVar[int | None] = 10
    measures_text: ClassVar[bool] = False

    def check(self) -> None:
        super().check()
        if self.steps != 1:
            raise ConfigError(f'preset "{self.name}" is published with one step, not {self.steps}.')

    def start(self, shapes: Shapes, calibration: Calibration, devices: Devices) -> PaperState:
        pooled = {
            shape: PublishedMoments.empty(sum(shape), device)
            for shape, device in first_of(shapes, devices).items()
        }
        return PaperState(self, tuple(shapes), pooled)

    def load_state_dict(
        self,
        tensors: Mapping[str, Tensor],
        shapes: Shapes,
        calibration: Calibration,
        devices: Devices,
    ) -> PaperState:
        places = first_of(shapes, devices)
        pooled = {shape: load_published(tensors, shape, places[shape]) for shape in places}
        return PaperState(self, tuple(shapes), pooled)

    def keeps(self) -> str:
        return "pooled statistics"


@dataclass(frozen=True)
class PaperState(ClosedFormState):
    method: Paper
    shapes: Shapes
    published: Mapping[tuple[int, int], PublishedMoments]
    """Of [key ; gradient], pooled over the maps of one shape."""

    def observe(self, rows: Sequence[Rows]) -> PaperState:
        pooled = dict(self.published)
        for r in rows:
            for shape, keys, grads in zip(self.shapes, r.keys, r.grads, strict=True):
                moments = pooled[shape]
                pooled[shape] = moments.update(torch.cat([keys, grads], 1).to(moments.mean.device))
        if not all(torch.isfinite(p.std).all() for p in pooled.values()):
            raise NumericalError(
                "the published statistics turn NaN on a micro-batch with one answer token; this turn was "
                'refused and the model is untouched: use preset "default", or larger turns.'
            )
        return replace(self, published=pooled)

    def values(self, module: int, rows: Sequence[Rows]) -> Float[Tensor, "n d_out"]:
        keys = keys_of(rows, module)
        both = torch.cat([keys, grads_of(rows, module)], 1)
        place = self.published[self.shapes[module]].mean.device
        hat = self.hat(module, both.to(place)).to(keys.device)
        width = keys.shape[1]
        return published_values(hat[:, :width], hat[:, width:], self.method.step)

    def hat(self, module: int, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """N of [key ; gradient]."""
        return self.published[self.shapes[module]].normalise(rows)

    def state_dict(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for shape, moments in self.published.items():
            out |= published_tensors(moments, shape)
        return out


def published_tensors(moments: PublishedMoments, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Moments of the maps of one shape as named tensors; `load_published` is the inverse."""
    key = f"published.{shape[0]}x{shape[1]}"
    return {
        f"{key}.count": torch.tensor(moments.count, dtype=torch.float64),
        f"{key}.mean": moments.mean.clone(),
        f"{key}.var": moments.var.clone(),
        f"{key}.std": moments.std.clone(),
    }


def first_of(shapes: Shapes, devices: Devices) -> dict[tuple[int, int], torch.device]:
    """Of each shape, where the first map of it lies: there are the statistics of all of them."""
    places: dict[tuple[int, int], torch.device] = {}
    for shape, device in zip(shapes, devices, strict=True):
        places.setdefault(shape, device)
    return places


def load_published(
    tensors: Mapping[str, Tensor], shape: tuple[int, int], device: torch.device
) -> PublishedMoments:
    """Raises KeyError where a tensor is missing."""
    key = f"published.{shape[0]}x{shape[1]}"
    mean, var, std = (tensors[f"{key}.{name}"].to(device) for name in ("mean", "var", "std"))
    return PublishedMoments(float(tensors[f"{key}.count"]), mean, var, std)


PRESETS = {"paper": Paper("paper", step=1e-6, end_token=False)}
