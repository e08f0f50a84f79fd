"""A teacher-forced pass that computes what no edit can change once, and keeps it.

Nothing below the first edited block ever changes, so a question's hidden states there are the same
at every checkpoint of a run: later scorings run the top blocks and the head only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ultraedit.evaluation.scorer import BatchedScorer, TokenScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from ultraedit.evaluation.text import TokenPair
    from ultraedit.model.batch import Batch
    from ultraedit.model.stack import Stack


class FrozenScorer(BatchedScorer):
    """A `Scorer` over a split model; the plain `ModelScorer` gives the same scores to rounding.

    `stack.first` must not lie above the first block that is edited while the scorer lives.  Trunk
    states are kept, in the model's dtype and without padding, while they fit in `limit` bytes;
    those of further questions are computed anew at every scoring.  A micro-batch holds at most
    `batch` pairs and `tokens` padded tokens.
    """

    def __init__(
        self, stack: Stack, *, limit: int = 2**30, batch: int = 128, tokens: int = 2048
    ) -> None:
        super().__init__(stack.model, batch=batch, tokens=tokens)
        self.stack = stack
        self.limit = limit
        self.used = 0
        """Bytes of trunk states kept."""
        self._kept: dict[TokenPair, Tensor] = {}

    @torch.no_grad()
    def score(self, pairs: Sequence[TokenPair], *, states: bool = False) -> list[TokenScores]:
        """See `Scorer.score`.  Raises DataError when a pair is longer than the model's context."""
        distinct = list(dict.fromkeys(pairs))  # data sets repeat their questions
        # kept and unkept apart, so that a micro-batch runs its trunk for all of its rows or for none
        known = [i for i, pair in enumerate(distinct) if pair in self._kept]
        new = [i for i, pair in enumerate(distinct) if pair not in self._kept]
        batches = [*self._batches(distinct, known), *self._batches(distinct, new)]
        found = dict(zip(distinct, self._score(distinct, batches, states), strict=True))
        return [found[pair] for pair in pairs]

    def _states(self, pairs: Sequence[TokenPair]) -> Float[Tensor, "rows width"]:
        ids = [(list(pair.prompt), list(pair.target)) for pair in pairs]
        batch = self.stack.batch(ids, range(len(ids)))
        return self.stack.top(batch, self._trunk(pairs, batch))[batch.answers]

    def _rank(self, pair: TokenPair) -> int:
        return len(pair.target)

    def _trunk(self, pairs: Sequence[TokenPair], batch: Batch) -> Float[Tensor, "B L *d"]:
        mask = batch.mask
        if pairs[0] in self._kept:
            rows = [self._kept[p] for p in pairs]
            hidden = rows[0].new_zeros(*mask.shape, *rows[0].shape[1:])
            hidden[mask] = torch.cat(rows)
            return hidden
        hidden = self.stack.trunk(batch)
        for row, here, pair in zip(hidden, mask, pairs, strict=True):
            own = row[here]  # indexing by a mask copies
            size = own.numel() * own.element_size()
            if pair not in self._kept and self.used + size <= self.limit:
                self._kept[pair] = own
                self.used += size
        return hidden
