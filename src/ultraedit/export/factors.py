"""Shifts as low-rank factors.  Pure maths: no files, no models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks vLLM accepts as --max-lora-rank; an adapter of another rank could not be served there."""
FULL = "full"
"""The rank at which nothing is cut off."""


@dataclass(frozen=True)
class Factors:
    """The leading part of one shift's singular value decomposition, shift ~ (U sqrt(s)) (sqrt(s) V')."""

    name: str
    down: Float[Tensor, "k d_in"]
    """sqrt(s) V'; `k` is the shift's rank, or 512 if that is smaller and no more was asked for."""
    up: Float[Tensor, "d_out k"]
    """U sqrt(s).  Sharing s evenly keeps both factors in the range of half precision."""
    values: Float[Tensor, " k"]
    energy: float
    """||shift||^2, Frobenius."""
    rank: int
    """Of the shift, in fp32."""

    def kept(self, rank: int) -> float:
        """||S_r||^2 / ||S||^2, in [0, 1]; 1 for a module that was not moved."""
        if self.energy == 0:
            return 1.0
        return min(float(self.values[:rank].double().square().sum()) / self.energy, 1.0)

    def at(
        self, rank: int, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "r d_in"], Float[Tensor, "d_out r"]]:
        """(A, B) with delta W ~ B A, rounded to `dtype`; a rank beyond the shift's own is filled with zeros."""
        k = min(rank, self.values.shape[0])
        A = torch.zeros(rank, self.down.shape[1], dtype=dtype)
        B = torch.zeros(self.up.shape[0], rank, dtype=dtype)
        A[:k] = self.down[:k].to(dtype)
        B[:, :k] = self.up[:, :k].to(dtype)
        return A, B


def factorise(name: str, shift: Float[Tensor, "d_out d_in"], *, whole: bool = False) -> Factors:
    """Decompose one shift, given as d_out x d_in (nn.Linear's orientation).

    whole: keep all of it, and not only what the largest accepted rank takes.
    The whole decomposition, not a randomised one: the spectrum of thousands of edits is flat, where those err.
    """
    U, values, Vh = torch.linalg.svd(shift.float(), full_matrices=False)
    # values below the rounding of the largest are the decomposition's own error, as in torch.linalg.matrix_rank
    floor = values[:1].sum() * max(shift.shape) * torch.finfo(torch.float32).eps
    rank = int((values > floor).sum())
    k = rank if whole else min(rank, RANKS[-1])
    root = values[:k].sqrt()
    return Factors(
        name,
        (root[:, None] * Vh[:k]).cpu(),
        (U[:, :k] * root).cpu(),
        values[:k].cpu(),
        float(values.double().square().sum()),
        rank,
    )


def full_rank(factors: Sequence[Factors]) -> int:
    """The rank that holds every shift whole: an accepted one if there is one so high, else the largest shift's own."""
    own = max(f.rank for f in factors)
    return next((rank for rank in RANKS if rank >= own), own)


def useful_ranks(factors: Sequence[Factors]) -> tuple[int, ...]:
    """Accepted ranks in rising order, up to the first that holds every shift whole."""
    return tuple(rank for rank in RANKS if rank <= full_rank(factors))
