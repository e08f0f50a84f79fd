"""The model's own answers as rows of a turn, which are pulled back to what they were.

A metric says which keys an update should not move, and knows nothing of what moving them does.  Here the answers
themselves are run in each step: where the turn has changed what the model would say, the slope of KL to the unedited
model becomes a row of the system, and the same solve that writes the edits puts the answer back.
docs/lab/own-words.md has what it earns.  Source of the idea: KL to the frozen original as what forgetting follows
(RL's Razor, arXiv 2509.04259).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ultraedit.methods.base import NO_EDIT, Ids
from ultraedit.model.runner.base import Runner
from ultraedit.model.runner.trunk_cache import TrunkCache
from ultraedit.model.trace import LossKind, Trace
from ultraedit.model.weights import EditedWeight, originals

TOKENS = 12
"""Of each answer, how many are held.  An answer that begins as it did mostly goes on as it did, and each token is a row
of every system."""

CACHE_BYTES = 256 * 2**20


class Pull:
    """Holds the trunk of the answers and what the unedited model made of them; both for good."""

    def __init__(
        self,
        runner: Runner,
        weights: Sequence[EditedWeight],
        answers: Sequence[Ids],
        micro_batch: int,
    ) -> None:
        self.runner = runner
        batches = runner.batches([(p, a[:TOKENS]) for p, a in answers], micro_batch)
        self.cache = TrunkCache(runner, batches, CACHE_BYTES)
        with originals(weights):
            self.teachers = [
                runner.answer_states(batch, self.cache.get(i)) for i, batch in enumerate(batches)
            ]

    def forget_prefixes(self) -> None:
        self.cache.forget_prefixes()

    def trace(self, loss: LossKind) -> list[Trace]:
        """Keys, and the slope of KL to the unedited model, at the weights of now."""
        found: list[Trace] = []
        for i, (batch, teacher) in enumerate(zip(self.cache.whole, self.teachers, strict=True)):
            prefix = self.cache.prefix(i)
            traced = self.runner.trace(batch, self.cache.get(i), loss, prefix, 0.0, teacher)
            found.append(replace(traced, owner=torch.full_like(traced.owner, NO_EDIT)))
        return found
