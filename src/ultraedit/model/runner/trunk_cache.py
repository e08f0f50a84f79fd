"""Trunk activations of a turn, and which of its rows are still in play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.model.batch import Batch, Cells
from ultraedit.model.cache import Prefix
from ultraedit.model.runner.base import Runner


class TrunkCache:
    """Trunk activations of a turn's micro-batches, kept while they fit in `limit` bytes, else computed again.

    Also which rows of each are still in play: `leave_out` takes rows out of all that follows.
    """

    def __init__(self, runner: Runner, batches: Sequence[Batch], limit: int) -> None:
        self.runner = runner
        self.whole = list(batches)
        self.batches = list(batches)
        """The rows in play."""
        self.rows: list[Int[Tensor, " _"] | None] = [None] * len(batches)
        """Which rows of the batch as it was given those are; None: all."""
        ends = accumulate(b.mask.numel() * runner.cell_bytes for b in batches)
        fitting = sum(end <= limit for end in ends)
        self.kept = runner.trunks(batches[:fitting]) if fitting else []
        self._prefixes: dict[int, Prefix] = {}

    def prefix(self, index: int) -> Prefix:
        """The prefix columns' keys and values, as they were when first asked for.

        Steps within a turn move the weights a little, and with them what the prompts' own tokens hand to the
        answers.  Some steps may leave that out (docs/lab/prefixes.md).
        """
        if index not in self._prefixes:
            self._prefixes[index] = self.runner.prefix(self.batches[index], self.get(index))
        return self._prefixes[index]

    def forget_prefixes(self) -> None:
        self._prefixes.clear()

    def get(self, index: int) -> Float[Tensor, "B C *d"]:
        if index >= len(self.kept):
            return self.runner.trunks([self.batches[index]])[0]
        rows = self.rows[index]
        return self.kept[index] if rows is None else self.kept[index][rows]

    def leave_out(self, index: int, done: Bool[Tensor, " B"]) -> None:
        """Take rows of those in play out of play."""
        stay = torch.nonzero(~done)[:, 0]
        rows = self.rows[index]
        self.rows[index] = stay if rows is None else rows[stay]
        self.batches[index] = self.batches[index].only(stay)
        if index in self._prefixes:
            states = self._prefixes[index].items()
            self._prefixes[index] = {
                i: (k[stay.to(k.device)], v[stay.to(v.device)]) for i, (k, v) in states
            }

    def edit_only(self, index: int, edited: Cells, prompt_tokens: tuple[int, ...]) -> None:
        """Other edited tokens for a batch, while all its rows are in play."""
        self.whole[index] = replace(self.whole[index], edited=edited, open=prompt_tokens)
        self.batches[index] = self.whole[index]

    def take_back(self) -> None:
        """All rows are in play again."""
        for index, batch in enumerate(self.whole):
            self.batches[index], self.rows[index] = batch, None
        self.forget_prefixes()
