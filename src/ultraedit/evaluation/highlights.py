"""From rows to the pieces of a result: a checkpoint, before/after texts, the worst side effects."""

from __future__ import annotations

from typing import Any

from ultraedit.evaluation.evaluation import Evaluation, QuestionScores
from ultraedit.evaluation.protocol import Family, Protocol
from ultraedit.evaluation.retention import by_age
from ultraedit.evaluation.schema import Checkpoint, Sample, SideEffect

FOLLOWED: tuple[tuple[Family, str], ...] = (
    ("efficacy", "token_accuracy"),
    ("efficacy", "generated_exact"),
    ("generalization", "token_accuracy"),
    ("generalization", "generated_exact"),
)
"""The scores whose retention is followed."""


def checkpoint(evaluation: Evaluation, protocol: Protocol) -> Checkpoint:
    """An evaluation as it stands in the result file, with its followed scores by age."""
    ages = {}
    if evaluation.edits is not None:
        ages = {
            f"{family}.{metric}": by_age(evaluation, family, metric, protocol)
            for family, metric in FOLLOWED
            if f"{family}.{metric}" in evaluation.figures
        }
    return Checkpoint(edits=evaluation.edits or 0, figures=evaluation.figures, by_age=ages)


def samples(evaluation: Evaluation, count: int = 12) -> list[Sample]:
    """Edit prompts and rephrases with both texts, spread evenly over the stream."""
    rows = [
        r
        for r in evaluation.rows
        if r.family in ("efficacy", "generalization") and r.number == 0 and r.before is not None
    ]
    rows.sort(key=lambda r: (r.position, r.family))
    some = min(count, len(rows))
    picked = [rows[len(rows) * k // some] for k in range(some)]
    return [Sample(**_texts(r)) for r in picked]


def side_effects(evaluation: Evaluation, count: int = 10) -> list[SideEffect]:
    """Unrelated questions whose greedy text changed, by KL to the unedited model, worst first,
    each prompt once."""
    seen: dict[str, QuestionScores] = {}
    for row in evaluation.rows:
        if row.family == "locality" and row.agreement is False:
            seen.setdefault(row.prompt, row)
    worst = sorted(seen.values(), key=lambda r: -1.0 if r.kl is None else r.kl, reverse=True)
    return [_effect(r) for r in worst[:count]]


def _effect(r: QuestionScores) -> SideEffect:
    return SideEffect(**_texts(r), kl=r.kl)


def _texts(r: QuestionScores) -> dict[str, Any]:
    """A question with the text before the edits and after them."""
    return {
        "edit_id": r.edit_id,
        "family": r.family,
        "prompt": r.prompt,
        "answer": r.answer,
        "before": r.before or "",
        "after": r.generated or "",
    }
