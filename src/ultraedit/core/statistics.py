"""Running moments of rows, exact and mergeable.

Source: Chan, Golub & LeVeque's pairwise update; UltraEdit (arXiv 2505.14679), section "lifelong normalisation",
for what is tracked.  `PublishedMoments` is the recurrence of the released code, kept for the `paper` preset;
`WhitenedMoments` that of StableEdit (arXiv 2605.11836) and its released code, for the preset of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.decompose import eigen

WHITENING_FLOOR = 1e-6
"""StableEdit's floor of the gradients' eigenvalues, in their own units."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred sum of squares of the rows seen so far, in fp64.

    Immutable: `merge` returns a new object, so a refused turn leaves the old statistics as they were.
    Merging in any order or grouping agrees to rounding; a one-row batch is as good as any other.
    """

    count: int
    mean: Float[Tensor, " d"]
    m2: Float[Tensor, " d"]

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> Moments:
        zero = torch.zeros(width, dtype=torch.float64, device=device)
        return cls(0, zero, zero.clone())

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> Moments:
        """Moments of one batch; `n` may be 0 or 1."""
        if rows.shape[0] == 0:
            return cls.empty(rows.shape[1], rows.device)
        rows = rows.double()
        mean = rows.mean(0)
        return cls(rows.shape[0], mean, (rows - mean).square().sum(0))

    def absorb(self, rows: Float[Tensor, "n d"]) -> Moments:
        return self.merge(Moments.of(rows))

    def merge(self, other: Moments) -> Moments:
        count = self.count + other.count
        if count == 0:
            return self
        delta = other.mean - self.mean
        share = other.count / count
        return Moments(
            count,
            self.mean + share * delta,
            self.m2 + other.m2 + self.count * share * delta.square(),
        )

    def variance(self) -> Float[Tensor, " d"]:
        """Population variance (divides by n, so that one row gives 0 and not NaN)."""
        return self.m2 / max(self.count, 1)

    def mean_square(self) -> Float[Tensor, " d"]:
        """Mean of the squares: the uncentred second moment."""
        return self.variance() + self.mean.square()


@dataclass(frozen=True)
class PublishedMoments:
    """The running statistics exactly as released, in fp32, quirks included.

    The unbiased batch variance is weighted with m and not m - 1 (so variance is overcounted), and a batch of one
    row has variance NaN, which stays for ever.  Callers must refuse a turn that makes them non-finite.
    """

    count: float
    mean: Float[Tensor, " d"]
    var: Float[Tensor, " d"]
    std: Float[Tensor, " d"]

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> PublishedMoments:
        zero = torch.zeros(width, dtype=torch.float32, device=device)
        return cls(0.0, zero, zero.clone(), zero.clone())

    def update(self, rows: Float[Tensor, "n d"]) -> PublishedMoments:
        m = rows.shape[0]
        count = self.count + m
        delta = rows.mean(0) - self.mean
        mean = self.mean + m * delta / count
        batch_var = rows.var(0) if m > 1 else torch.full_like(delta, float("nan"))
        var = self.var + m * batch_var + self.count * m * delta.square() / count
        std = (var / (count - 1 + torch.finfo(rows.dtype).eps)).sqrt()
        return PublishedMoments(count, mean, var, std)

    def normalise(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return (rows - self.mean) / (self.std + torch.finfo(rows.dtype).eps)


@dataclass(frozen=True)
class WhitenedMoments(PublishedMoments):
    """StableEdit's running statistics: `PublishedMoments` with the batch variance of the population, so that one row
    counts as 0 and not NaN, and beside it the whole covariance of the gradients, the last `covariance.shape[0]`
    columns of the rows."""

    covariance: Float[Tensor, "d_out d_out"]
    """Summed, not divided by the count."""

    @classmethod
    def blank(cls, d_in: int, d_out: int, device: torch.device | str = "cpu") -> WhitenedMoments:
        start = PublishedMoments.empty(d_in + d_out, device)
        covariance = torch.zeros(d_out, d_out, device=device)
        return cls(start.count, start.mean, start.var, start.std, covariance)

    def update(self, rows: Float[Tensor, "n d"]) -> WhitenedMoments:
        m = rows.shape[0]
        count = self.count + m
        batch_mean = rows.mean(0)
        delta = batch_mean - self.mean
        centred = rows - batch_mean
        var = self.var + centred.square().sum(0) + self.count * m * delta.square() / count
        std = (var / (count - 1 + torch.finfo(rows.dtype).eps)).sqrt()
        grads, shift = centred[:, -self.width :], delta[-self.width :]
        between = self.count * m / count * torch.outer(shift, shift)
        return replace(
            self,
            count=count,
            mean=self.mean + m * delta / count,
            var=var,
            std=std,
            covariance=self.covariance + grads.T @ grads + between,
        )

    @property
    def width(self) -> int:
        """d_out."""
        return self.covariance.shape[0]

    @cached_property
    def root(self) -> Float[Tensor, "d_out d_out"]:
        """Inverse square root of the posterior mean of the gradients' covariance under a Normal-inverse-Wishart
        prior, which divides by n - d_out - 1; eigenvalues below WHITENING_FLOOR count as the floor."""
        divisor = self.count - self.width - 1 + torch.finfo(self.covariance.dtype).eps
        values, vectors = eigen(self.covariance / divisor)
        return (vectors * values.clamp(min=WHITENING_FLOOR).rsqrt()) @ vectors.T

    def whiten(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Keys centred and scaled, gradients centred and times `root`.  With no more than d_out + 1 rows seen the
        covariance has no such mean, and gradients are scaled like the keys."""
        scaled = self.normalise(rows)
        if self.count <= self.width + 1:
            return scaled
        grads = (rows - self.mean)[:, -self.width :] @ self.root
        return torch.cat([scaled[:, : -self.width], grads], 1)
