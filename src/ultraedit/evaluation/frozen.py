"""A teacher-forced pass that computes what no edit can change once, and keeps it.

Nothing below the first edited block ever changes, so a question's hidden states there are the same
at every checkpoint of a run: later scorings run the top blocks and the head only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ultraedit.errors import DataError
from ultraedit.evaluation.scorer import TokenScores, read_logits
from ultraedit.model.context import context_length
from ultraedit.model.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from ultraedit.evaluation.text import TokenPair
    from ultraedit.model.batch import Batch
    from ultraedit.model.stack import Stack


class FrozenScorer:
    """A `Scorer` over a split model; the plain `ModelScorer` gives the same scores to rounding.

    `stack.first` must not lie above the first block that is edited while the scorer lives.  Trunk
    states are kept, in the model's dtype and without padding, while they fit in `limit` bytes;
    those of further questions are computed anew at every scoring.  A micro-batch holds at most
    `batch` pairs and `tokens` padded tokens.
    """

    def __init__(
        self, stack: Stack, *, limit: int = 2**30, batch: int = 128, tokens: int = 2048
    ) -> None:
        self.stack = stack
        self.limit = limit
        self.used = 0
        """Bytes of trunk states kept."""
        self._batch = batch
        self._tokens = tokens
        self._kept: dict[TokenPair, Tensor] = {}
        self._context = context_length(stack.model)

    @torch.no_grad()
    def score(self, pairs: Sequence[TokenPair], *, states: bool = False) -> list[TokenScores]:
        """See `Scorer.score`.  Raises DataError when a pair is longer than the model's context."""
        distinct = list(dict.fromkeys(pairs))  # data sets repeat their questions
        with steady(self.stack.model):
            results = self._score(distinct, states)
        return [results[pair] for pair in pairs]

    def _score(self, distinct: list[TokenPair], states: bool) -> dict[TokenPair, TokenScores]:
        results: dict[TokenPair, TokenScores] = {}
        # kept and unkept apart, so that a micro-batch runs its trunk for all of its rows or for none
        known = [pair for pair in distinct if pair in self._kept]
        new = [pair for pair in distinct if pair not in self._kept]
        for chosen in (*self._batches(known), *self._batches(new)):
            ids = [(list(pair.prompt), list(pair.target)) for pair in chosen]
            batch = self.stack.batch(ids, range(len(ids)))
            hidden = self.stack.top(batch, self._trunk(chosen, batch))[batch.answers]
            values, choices = read_logits(self.stack.head, hidden, batch.labels[batch.answers])
            start = 0
            for pair in chosen:
                end = start + len(pair.target)
                results[pair] = TokenScores(
                    # cloned: a view would keep the whole micro-batch alive
                    logprobs=values[start:end].clone(),
                    argmax=choices[start:end].clone(),
                    target=pair.target,
                    states=hidden[start:end].cpu().clone() if states else None,
                )
                start = end
        return results

    @torch.no_grad()
    def logprobs(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """See `Scorer.logprobs`."""
        with steady(self.stack.model):
            return self.stack.head(states.to(self.stack.device)).float().log_softmax(-1).cpu()

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

    def _batches(self, pairs: Sequence[TokenPair]) -> list[list[TokenPair]]:
        lengths = {pair: len(pair.prompt) + len(pair.target) - 1 for pair in pairs}
        batches: list[list[TokenPair]] = []
        for pair in sorted(pairs, key=lambda p: (lengths[p], len(p.target))):
            if lengths[pair] > self._context:
                raise DataError(
                    f"a prompt and its answer has {lengths[pair]} tokens, more than the model's "
                    "context of "
                    f"{self._context}: shorten it."
                )
            full = not batches or len(batches[-1]) >= self._batch
            if full or (len(batches[-1]) + 1) * lengths[pair] > self._tokens:
                batches.append([])
            batches[-1].append(pair)
        return batches
