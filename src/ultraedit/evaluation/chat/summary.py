"""What a result file keeps of a chat measure."""

from __future__ import annotations

from ultraedit.evaluation.chat.scores import ChatRow, ChatScores
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.schema import Chat, ChatChange

FAMILY = "chat."
"""What the names of chat figures begin with among a checkpoint's."""


def chat_part(scores: ChatScores, changed: int = 30) -> Chat:
    """The counts, the figures by kind, and the answers that changed most.

    Args:
        scores: the outcome of a measure.
        changed: how many answers are kept.

    Returns:
        The part of a run in the result file.
    """
    return Chat(
        protocol=scores.protocol,
        requests=len(scores.rows),
        right_before=scores.right_before,
        right_now=scores.right_now,
        kept=scores.kept,
        unedited=scores.unedited,
        by_kind=scores.by_kind,
        changed=[_change(row) for row in scores.most_changed(changed)],
        left_out=scores.left_out,
    )


def named(figures: dict[str, Figure]) -> dict[str, Figure]:
    """Chat figures under the names that they have among a checkpoint's."""
    return {FAMILY + name: figure for name, figure in figures.items()}


def _change(row: ChatRow) -> ChatChange:
    return ChatChange(
        id=row.id,
        kind=row.kind,
        request=row.request,
        before=row.before.text,
        after=row.after.text,
        right_before=row.before.right,
        right_now=row.after.right,
        copied=row.copied,
        kl=row.kl,
    )
