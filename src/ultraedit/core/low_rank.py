"""The leading directions of many rows, from the small matrix of their products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.decompose import eigen


def leading_directions(
    parts: Sequence[Float[Tensor, "_ d_in"]], weights: Sequence[float], rank: int
) -> Float[Tensor, "rank d_in"]:
    """The `rank` leading directions of the weighted sum of every part's rows' rows, as orthogonal rows of their size.

    The smallest come first; fewer come back where there are fewer rows than `rank`.  Part by part: all of them in one
    matrix would be the largest tensor of a turn at Mistral's width.
    """
    gram = torch.cat([torch.cat([p @ q.T for q in parts], 1) for p in parts])
    scale = torch.cat([p.new_full((len(p),), w**0.5) for p, w in zip(parts, weights, strict=True)])
    gram = gram * scale[:, None] * scale
    vectors = eigen(gram)[1][:, -rank:]
    mixed = (vectors * scale[:, None]).split([len(p) for p in parts])
    found = mixed[0].T @ parts[0]
    for m, part in zip(mixed[1:], parts[1:], strict=True):
        found.addmm_(m.T, part)
    return found
