"""StableEdit as released (arXiv 2605.11836): `paper` with whitened gradients, ridge 10, and a warm-up of real edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from ultraedit.core.statistics import WhitenedMoments
from ultraedit.methods.base import Calibration, Devices, Shapes
from ultraedit.methods.paper import (
    Paper,
    PaperState,
    first_of,
    load_published,
    published_tensors,
)


@dataclass(frozen=True)
class StableEdit(Paper):
    """Published with turns of real edits of another split before the stream: `editing.warm_up`."""

    def start(self, shapes: Shapes, calibration: Calibration, devices: Devices) -> StableEditState:
        places = first_of(shapes, devices)
        pooled = {shape: WhitenedMoments.blank(*shape, places[shape]) for shape in places}
        return StableEditState(self, shapes, pooled)

    def load_state_dict(
        self,
        tensors: Mapping[str, Tensor],
        shapes: Shapes,
        calibration: Calibration,
        devices: Devices,
    ) -> StableEditState:
        pooled = {}
        for shape, device in first_of(shapes, devices).items():
            m = load_published(tensors, shape, device)
            covariance = tensors[f"published.{shape[0]}x{shape[1]}.covariance"].to(device)
            pooled[shape] = WhitenedMoments(m.count, m.mean, m.var, m.std, covariance)
        return StableEditState(self, shapes, pooled)

    def keeps(self) -> str:
        return "pooled statistics, their covariance (d_out x d_out)"


@dataclass(frozen=True)
class StableEditState(PaperState):
    published: Mapping[tuple[int, int], WhitenedMoments]
    warming: bool = False
    """The covariance is gathered, and done without."""

    def warm(self, on: bool) -> StableEditState:
        """The same statistics, in or out of the warm-up."""
        return replace(self, warming=on)

    def hat(self, module: int, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        pooled = self.published[self.shapes[module]]
        return pooled.normalise(rows) if self.warming else pooled.whiten(rows)

    def state_dict(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for shape, moments in self.published.items():
            out |= published_tensors(moments, shape)
            out[f"published.{shape[0]}x{shape[1]}.covariance"] = moments.covariance.clone()
        return out


PRESETS = {"stableedit": StableEdit("stableedit", step=1e-6, ridge=10.0, end_token=False)}
