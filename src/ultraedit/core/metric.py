"""What an update must not move: the metric M of the solve.

M = I + weight * C + sum of H'H: the identity (UltraEdit), the key covariance C of ordinary text, and the keys of all
earlier turns.  Directions that text or earlier edits use cost more, so the solve goes round them.  With the history
in it the solve is recursive least squares: V is the innovation, and solving turn by turn equals solving all edits
at once.  Sources: the ridge of MEMIT (arXiv 2210.07229, eq. 14) put into UltraEdit's metric; recursive least
squares as in any text on adaptive filtering.

The history may fade: with a horizon h, keys count exp(-n/h) once n more rows have been absorbed, while text keeps
its weight (recursive least squares with a forgetting factor).

M has one size for ever: d_in x d_in where that is small, else its `rank` leading directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.low_rank import leading_directions

DENSE_LIMIT = 4096
"""Up to this d_in the metric is a full matrix (64 MiB in fp32 at the limit); above it a sketch."""

SKETCH_RANK = 1024
"""Directions a sketch keeps: 56 MiB per module at Mistral's inner width."""


@runtime_checkable  # so that the tests can check the argument types
class Metric(Protocol):
    def apply_inverse(self, H: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_in"]:
        """H M^-1 for symmetric positive definite M."""
        ...

    def double(self) -> Metric:
        """The same M in fp64."""
        ...


@dataclass(frozen=True)
class DenseMetric:
    """M written out.  It is factored once, on first use; one turn needs it once."""

    matrix: Float[Tensor, "d_in d_in"]

    @cached_property
    def factor(self) -> Float[Tensor, "d_in d_in"]:
        return torch.linalg.cholesky(self.matrix)

    def apply_inverse(self, H: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_in"]:
        return torch.cholesky_solve(H.T, self.factor).T.contiguous()

    def double(self) -> DenseMetric:
        return DenseMetric(self.matrix.double())

    def absorb(
        self, H: Float[Tensor, "n d_in"], base: DenseMetric | None = None, horizon: float = math.inf
    ) -> DenseMetric:
        """The metric M + H'H as a new object; with a base, base + exp(-n/horizon) (M - base) + H'H."""
        if base is None:
            return DenseMetric(torch.addmm(self.matrix, H.T, H))
        faded = torch.lerp(base.matrix, self.matrix, math.exp(-len(H) / horizon))
        return DenseMetric(faded.addmm_(H.T, H))


@dataclass(frozen=True)
class SketchMetric:
    """M = I + rows' rows, with `rank` rows and half as many again.

    Directions beyond the leading ones are treated as free to move.  New keys are appended as they are and the whole
    is cut back to `rank` directions once it holds half as many again, so the cost of cutting is spread over turns.
    """

    rows: Float[Tensor, "m d_in"]
    rank: int

    @cached_property
    def factor(self) -> Float[Tensor, "m m"]:
        gram = self.rows @ self.rows.T
        gram.diagonal().add_(1.0)
        return torch.linalg.cholesky(gram)

    def apply_inverse(self, H: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_in"]:
        """By Woodbury: H - H K'(I + K K')^-1 K."""
        return H - torch.cholesky_solve(self.rows @ H.T, self.factor).T @ self.rows

    def double(self) -> SketchMetric:
        return SketchMetric(self.rows.double(), self.rank)

    def absorb(
        self,
        H: Float[Tensor, "n d_in"],
        base: SketchMetric | None = None,
        horizon: float = math.inf,
    ) -> SketchMetric:
        """As `DenseMetric.absorb`, but that what is kept fades where it is cut, by all rows since the last cut."""
        if 2 * (len(self.rows) + len(H)) <= 3 * self.rank:
            return SketchMetric(torch.cat([self.rows, H]), self.rank)
        old, new = self.rows[: self.rank], self.rows[self.rank :]
        parts, weights = [old, new, H], [1.0, 1.0, 1.0]
        if base is not None:
            keep = math.exp(-(len(new) + len(H)) / horizon)
            parts, weights = [*parts, base.rows], [keep, 1.0, 1.0, 1.0 - keep]
        return SketchMetric(leading_directions(parts, weights, self.rank), self.rank)

    def cut(self) -> SketchMetric:
        """Keep the `rank` leading directions of rows' rows."""
        if len(self.rows) <= self.rank:
            return self
        return SketchMetric(leading_directions([self.rows], [1.0], self.rank), self.rank)


def identity_metric(
    width: int,
    device: torch.device | str = "cpu",
    dense_limit: int = DENSE_LIMIT,
    rank: int = SKETCH_RANK,
) -> DenseMetric | SketchMetric:
    """M = I, as a full matrix or an empty sketch.

    Absorbing the keys of m tokens of ordinary text, each times sqrt(weight / m), makes it I + weight * C.
    """
    if width > dense_limit:
        return SketchMetric(torch.empty(0, width, device=device), rank)
    return DenseMetric(torch.eye(width, device=device))


def text_metric(
    keys: Float[Tensor, "m d_in"],
    weight: float,
    dense_limit: int = DENSE_LIMIT,
    rank: int = SKETCH_RANK,
) -> DenseMetric | SketchMetric:
    """M = I + weight * C with C = keys' keys / m, from keys that are all at hand."""
    m, width = keys.shape
    metric = identity_metric(width, keys.device, dense_limit, rank)
    metric = metric.absorb(keys.float() * (weight / m) ** 0.5)
    return metric.cut() if isinstance(metric, SketchMetric) else metric
