"""What a turn's receipts report of its answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ultraedit.methods.base import EncodedTurn, LiveModel
from ultraedit.model.trace import Trace

AnswerScores = tuple[Float[Tensor, " edits"], Bool[Tensor, " edits"], Bool[Tensor, " edits"]]


def measure(live: LiveModel, turn: EncodedTurn, rows: int) -> AnswerScores:
    """`answer_scores` of the model as it is now, `rows` texts run at once."""
    return answer_scores(live.runner.score(turn.pairs, rows), turn.owners, turn.lengths)


def answer_scores(
    traces: Sequence[Trace], owners: Sequence[int], lengths: Sequence[int]
) -> tuple[Float[Tensor, " edits"], Bool[Tensor, " edits"], Bool[Tensor, " edits"]]:
    """Of each edit: its whole answer's probability, whether all its tokens are the most likely ones, and whether the
    end token is behind them (False where it is not edited).

    Where an edit was written in several forms, the first form is the one reported.
    """
    probabilities = torch.zeros(len(lengths))
    learned = torch.zeros(len(lengths), dtype=torch.bool)
    stops = torch.zeros(len(lengths), dtype=torch.bool)
    first_pair: dict[int, int] = {}
    for pair, edit in enumerate(owners):
        first_pair.setdefault(edit, pair)
    pair_edit = {pair: edit for edit, pair in first_pair.items()}
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for t in traces:
        log_probs, hits = t.log_probs.tolist(), t.hits.tolist()
        for pair, log_prob, hit in zip(t.owner[: len(hits)].tolist(), log_probs, hits, strict=True):
            edit = pair_edit.get(pair)
            if edit is None:
                continue  # another form
            if counts.get(edit, 0) == lengths[edit]:
                stops[edit] = hit
                continue
            counts[edit] = counts.get(edit, 0) + 1
            totals[edit] = totals.get(edit, 0.0) + log_prob
            learned[edit] = hit if counts[edit] == 1 else learned[edit] and hit
            if counts[edit] == lengths[edit]:
                probabilities[edit] = math.exp(totals[edit])
    return probabilities, learned, stops
