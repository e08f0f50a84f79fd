"""How the next token of each row is chosen, and how likely the tokens were."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Likelihood:
    """A token's log-probability, and the most likely tokens at its place."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Chooser:
    """Chooses one row's tokens.  Its draws depend on its seed alone, never on the rows beside it."""

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        self.temperature = temperature
        self.top_p = top_p
        self._generator: torch.Generator | None = None
        if temperature > 0:
            seed = secrets.randbits(62) if seed is None else seed
            self._generator = torch.Generator().manual_seed(seed % 2**63)

    def choose(self, logits: Float[Tensor, " vocab"], greedy: int) -> int:
        """
        Args:
            logits: Of this row.
            greedy: The most likely token, found for all rows at once.
        """
        if self._generator is None:
            return greedy
        # the highest comes off first: a tiny temperature must not overflow
        scaled = (logits.double().cpu() - float(logits.max())) / self.temperature
        probabilities = torch.softmax(scaled, 0)
        ordered, order = probabilities.sort(descending=True, stable=True)
        total = ordered.cumsum(0)
        if self.top_p < 1:
            # the fewest tokens that together have at least top_p
            kept = int((total < self.top_p).sum()) + 1
            order, total = order[:kept], total[:kept]
        draw = torch.rand((), generator=self._generator, dtype=torch.float64) * total[-1]
        at = int(torch.searchsorted(total, draw, right=True))
        return int(order[min(at, len(order) - 1)])


def likelihoods(
    logits: Float[Tensor, "n vocab"], tokens: Sequence[int], top: int
) -> list[Likelihood]:
    """How likely each row's token was, and its `top` most likely ones, at temperature 1."""
    log_probs = torch.log_softmax(logits.float(), -1)
    index = torch.tensor(tokens, device=logits.device)[:, None]
    chosen = log_probs.gather(1, index)[:, 0].tolist()
    if not top:
        return [Likelihood(t, p, ()) for t, p in zip(tokens, chosen, strict=True)]
    best = log_probs.topk(min(top, log_probs.shape[1]), -1)
    return [
        Likelihood(token, logprob, tuple(zip(ids, values, strict=True)))
        for token, logprob, ids, values in zip(
            tokens, chosen, best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]
