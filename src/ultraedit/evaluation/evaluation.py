"""The outcome of asking: one row per question, and the figures made of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ultraedit.evaluation.intervals import Figure, exponential, figure
from ultraedit.evaluation.protocol import FAMILIES, METRICS, Family, Protocol


@dataclass(slots=True)
class QuestionScores:
    """Every score of one question at one time.  None: not asked, or the data does not allow it."""

    edit_id: str
    position: int
    """0-based place of the edit in the stream."""
    age: int | None
    """Edits made after this one; None for the unedited model."""
    family: Family
    kind: str
    number: int
    prompt: str
    answer: str | None
    token_accuracy: float | None = None
    exact: bool | None = None
    first_token: bool | None = None
    mean_logprob: float | None = None
    rival_logprob: float | None = None
    probability_success: bool | None = None
    generated: str | None = None
    before: str | None = None
    """The unedited model's greedy text."""
    generated_exact: bool | None = None
    generated_contains: bool | None = None
    generated_truncated: bool | None = None
    natural_stop: bool | None = None
    repetition: float | None = None
    rouge_l: float | None = None
    agreement: bool | None = None
    top1_agreement: float | None = None
    kl: float | None = None

    def score(self, metric: str) -> float | None:
        """A metric of `METRICS` as a number; `perplexity` as the mean negative log-probability,
        which averages."""
        if metric == "perplexity":
            return None if self.mean_logprob is None else -self.mean_logprob
        value = getattr(self, metric)
        return None if value is None else float(value)


@dataclass(slots=True)
class Evaluation:
    """One evaluation: of the unedited model (`edits` is None), or after `edits` edits."""

    edits: int | None
    rows: list[QuestionScores]
    figures: dict[str, Figure] = field(default_factory=dict)
    """`<family>.<metric>` and `drift.<metric>`."""


def per_edit(rows: Sequence[QuestionScores], family: Family, metric: str) -> dict[int, float]:
    """Position of each edit -> its mean over its own questions of `family`; edits without a score
    are left out."""
    found: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.family == family and (value := row.score(metric)) is not None:
            found[row.position].append(value)
    return {position: math.fsum(v) / len(v) for position, v in found.items()}


def summarise(rows: Sequence[QuestionScores], protocol: Protocol) -> dict[str, Figure]:
    """Every figure the rows allow.

    The unit is the edit: its questions are averaged first, then edits are, and the intervals
    resample edits, so that five questions about one edit do not count as five.
    """
    figures: dict[str, Figure] = {}
    for family in FAMILIES:
        for metric in METRICS:
            values = list(per_edit(rows, family, metric).values())
            if values:
                made = figure(values, protocol.words(family, metric), seed=protocol.seed)
                figures[f"{family}.{metric}"] = (
                    exponential(made) if metric == "perplexity" else made
                )
    return figures
