"""How value gradients spread, and gradients made alike in all directions: shrunk whitening.

Gradients of a few directions are ten times the others'.  Those directions are shared by all edits (the likes of "any
answer at all, and now"), and an update along them changes what the model says everywhere; what is peculiar to an edit
lies in the others.  Whitening weighs them alike.  Directions too small to be told from noise must not be blown up, so
the covariance is shrunk towards one size for all.

Sources: Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004), for the shrunk
form (the share is fixed here); StableEdit (arXiv 2605.11836) for whitening of value gradients, there centred and
floored.  What each costs and gains: docs/lab/whitening.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.low_rank import leading_directions

RANK = 128
"""Directions told apart: .3 MB a module at width 576, 2 MB at 4096."""

SHRINK = 0.3
"""Share of the covariance that is one size for all directions."""

CHUNK = 512
"""Rows whose products are put into one matrix."""

NOISE = 1e-10
"""Share of the energy below which a direction is rounding."""

LEAST = 1e-60
"""Stands for a mean square of 0; its root still fits fp32."""


@dataclass(frozen=True)
class Whitening:
    """Count and energy of the rows seen so far, and their leading directions; not centred.

    Immutable.  Count and energy are exact.  The directions are exact while there are at most RANK of them, and then
    merging in any order or grouping agrees to rounding; beyond, what is cut off is spread over all that are not kept.
    """

    count: int
    energy: Float[Tensor, ""]
    """Sum of the rows' squared norms, fp64."""
    rows: Float[Tensor, "m d"]
    """Orthogonal, fp32: rows' rows is the leading part of the sum of all rows' outer products."""

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> Whitening:
        energy = torch.zeros((), dtype=torch.float64, device=device)
        return cls(0, energy, torch.empty(0, width, device=device))

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> Whitening:
        """Of one batch; `n` may be 0 or 1."""
        found = cls.empty(rows.shape[1], rows.device)
        for part in rows.split(CHUNK):
            found = found.merge(cls(len(part), part.double().square().sum(), part.float()))
        return found

    def absorb(self, rows: Float[Tensor, "n d"]) -> Whitening:
        return self.merge(Whitening.of(rows))

    def merge(self, other: Whitening) -> Whitening:
        return Whitening(
            self.count + other.count,
            self.energy + other.energy,
            _lead([self.rows, other.rows]),
        )

    def whiten(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Rows times ((1 - SHRINK) C + SHRINK mean(diag C) I)^-1/2, scaled so that the mean square of the rows seen so
        far becomes 1 in the mean over dimensions.

        C is the mean outer product of the rows seen: the kept directions' own sizes, and one size for all others.
        """
        width = rows.shape[-1]
        others = width - len(self.rows)
        squares = self.rows.double().square().sum(1)
        sizes = squares / max(self.count, 1)
        total = self.energy / max(self.count, 1)
        rest = ((total - sizes.sum()) / max(others, 1)).clamp(min=0)
        floor = SHRINK * total / width
        own = ((1 - SHRINK) * sizes + floor).clamp(min=LEAST)
        common = ((1 - SHRINK) * rest + floor).clamp(min=LEAST)
        energy = (sizes / own).sum() + others * rest / common  # at least 1 where there is any
        scale = (width / energy.clamp(min=1.0)).sqrt()
        # a direction of no size is rounding: it may point anywhere
        real = sizes > NOISE * total
        units = self.rows / squares.clamp(min=LEAST).sqrt().to(rows.dtype)[:, None]
        factors = torch.where(real, scale * (own.rsqrt() - common.rsqrt()), 0.0)
        along = (rows @ units.T) * factors.to(rows.dtype)
        return torch.addmm(rows * (scale * common.rsqrt()).to(rows.dtype), along, units)


def _lead(parts: Sequence[Float[Tensor, "_ d"]]) -> Float[Tensor, "m d"]:
    if not any(map(len, parts)):
        return parts[0]
    largest = torch.cat([p.abs().amax(1) for p in parts]).amax()
    size = largest.clamp(min=torch.finfo(torch.float32).tiny)  # squares must fit fp32
    kept = leading_directions(
        [p / size for p in parts], [1.0] * len(parts), min(RANK, parts[0].shape[1])
    )
    return kept * size
