"""What the server says of a change: made from the journal alone, so that a retry after a crash is told the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ultraedit.serving.notes import Remark
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.view import View
from ultraedit.workspace.journal import CommitRow


@dataclass(frozen=True)
class Answer:
    """A change that is safe on disk."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def answer_to(view: View, commit: CommitRow, remark: Remark, text: str | None = None) -> Answer:
    """The answer to the request behind a commit.

    Args:
        view: The workspace at or after the commit.
        commit: The change.
        remark: What its note says of the request.
        text: The change in a sentence, where there is more to say than the journal knows.

    Raises:
        Refusal: With 409 where the turn was written and taken back, because it made the model ill.
    """
    if remark.turn is not None:
        return _turn(view, commit, remark.turn)
    return _change(view, commit, text)


def _turn(view: View, commit: CommitRow, number: int) -> Answer:
    row = view.store.journal.turns[number]
    version = view.version_of(commit.head)
    receipts = [
        {
            "edit": edit.edit,
            "id": edit.id,
            "prompt": edit.prompt,
            "target": edit.target,
            "rephrases": list(edit.rephrases),
            "probability_before": edit.probability_before,
            "probability_after": edit.probability_after,
            "learned": edit.learned,
            "superseded_by": edit.superseded_by,
            "seconds": row.seconds,
            "moved": row.moved,
        }
        for edit in view.store.journal.rows(number)
    ]
    health = None if row.health is None else row.health.model_dump(mode="json")
    body: dict[str, Any] = {
        "object": "turn",
        "turn": number,
        "commit": commit.commit,
        "time": row.time,
        "seconds": row.seconds,
        "head": commit.head,
        "weight_version": version,
        "previous_version": view.version_of(row.parent),
        "receipts": receipts,
        "health": health,
        "moved": row.moved,
    }
    if commit.head != number:
        reasons = "; ".join(row.health.reasons) if row.health is not None else ""
        back = f"turn {commit.head}" if commit.head else "the base"
        del body["object"]
        raise Refusal(
            409,
            f"turn {number} made the model ill ({reasons}) and was taken back: it stands at {back} again; see "
            "/history for its reading.",
            more=body | {"rolled_back_to": commit.head},
        )
    return Answer(200, body, {"ETag": f'"{version}"'})


def _change(view: View, commit: CommitRow, text: str | None) -> Answer:
    before = view.store.journal.commits[commit.commit - 2]
    turns = view.store.journal.turns
    then = {row.turn for row in view.history.lineage(before.head)}
    now = {row.turn for row in view.history.lineage(commit.head)}
    gone = sum(turns[turn].edits for turn in then - now)
    come = sum(turns[turn].edits for turn in now - then)
    removed = sum(len(turns[turn].removes) for turn in now - then)
    where = f"turn {commit.head}" if commit.head else "the base"
    version = view.version_of(commit.head)
    marks = dict(commit.marks)
    body = {
        "object": "change",
        "kind": commit.kind,
        "commit": commit.commit,
        "time": commit.time,
        "turn": commit.head,
        "head": commit.head,
        "weight_version": version,
        "previous_version": view.version_of(before.head),
        "edits": max(gone - come, 0) + removed,
        "rewritten": come,
        "exact": commit.kind != "subtract",
        "marks": marks,
        "text": text or f"{commit.kind}: the workspace stands at {where}.",
    }
    return Answer(200, body, {"ETag": f'"{version}"'})
