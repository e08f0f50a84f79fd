"""Consolidation: asks the journal which edits the model has lost, and writes those again.

Later turns take room from earlier ones.  What is lost can be written again, and the journal knows it: few facts are
lost at once, so writing them costs little of what the model does besides.  Each round is made of ordinary turns, so it
is in the journal, can be undone, and an interrupted one is gone on with by consolidating again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ultraedit import arguments
from ultraedit.data.record import Record
from ultraedit.editing.assemble import said_for
from ultraedit.editing.editor import Editor
from ultraedit.errors import WorkspaceError
from ultraedit.methods.base import Ids
from ultraedit.workspace import changes
from ultraedit.workspace.journal import HealthRow
from ultraedit.workspace.said import said_whole
from ultraedit.workspace.workspace import Workspace

ASKED_AT_ONCE = 1000
"""Edits whose texts are laid out together."""


@dataclass(frozen=True)
class Round:
    """One round of a consolidation."""

    number: int
    """Counted from 1."""
    asked: int
    """Edits in force."""
    lost: int
    """Those whose answer the model no longer gave, before the round; they were written again."""
    still_lost: int
    """Edits in force whose answer it does not give after the round."""
    turn: int
    """Where the workspace stands now."""
    taken_back: bool
    """Whether the round won nothing, so that the workspace went back to where it stood before it."""
    health: HealthRow | None
    """The reading after the round; None where none of its turns was read."""

    def __str__(self) -> str:
        text = (
            f"round {self.number}: {self.lost:,} of {self.asked:,} edits lost, "
            f"{self.still_lost:,} after writing them again"
        )
        return f"{text}; that won nothing and was taken back" if self.taken_back else text


def lost_edits(editor: Editor, records: Sequence[Record]) -> list[Record]:
    """Those whose written answer is not what the model would say, token by token, behind their own prompt."""
    encoder = editor.encoder
    ending = [encoder.end_token] if editor.method.end_token else []
    missing: list[Record] = []
    for low in range(0, len(records), ASKED_AT_ONCE):
        some = records[low : low + ASKED_AT_ONCE]
        pairs: list[Ids] = []
        for record in some:
            prompt, answer = encoder.pair(record.prompt, said_for(record))
            pairs.append((prompt, [*answer, *(() if record.sentences else ending)]))
        said = said_whole(editor, pairs)
        missing += [record for record, known in zip(some, said, strict=True) if not known]
    return missing


def consolidate(
    workspace: Workspace,
    *,
    rounds: int = 5,
    minutes: float | None = None,
    turn_size: int = 100,
) -> Iterator[Round]:
    """Write lost edits again, round by round, until none is lost or nothing more is won.

    A round that leaves as many edits lost as there were is taken back.  A round whose reading is not green is the last
    one; after a red one the workspace's policy decides, as in any stream.

    Args:
        workspace: Open for writing.
        rounds: How many rounds at most.
        minutes: No round begins after so many; None: there is no such limit.
        turn_size: Edits written together.

    Returns:
        An iterator that yields each round once it is safe on disk.

    Raises:
        ConfigError: An argument is of the wrong kind or out of range.
        WorkspaceError: The workspace is open for reading only, or the disk refuses.
        NumericalError: A turn was refused; those before it stay written.
    """
    rounds = arguments.whole(rounds, "rounds", 1)
    turn_size = arguments.whole(turn_size, "turn_size", 1, "a turn holds at least {least} edit")
    if minutes is not None:
        minutes = arguments.number(minutes, "minutes")
    workspace.store.require_writer()
    if not workspace.editor.method.writes_weights:
        raise WorkspaceError(
            f'"{workspace.editor.method.name}" keeps its edits beside the model and loses none; there is nothing to '
            "consolidate."
        )
    return _rounds(workspace, rounds, minutes, turn_size)


def _rounds(
    workspace: Workspace, rounds: int, minutes: float | None, turn_size: int
) -> Iterator[Round]:
    started = time.monotonic()
    records = workspace.history.in_force()
    lost = lost_edits(workspace.editor, records)
    for number in range(1, rounds + 1):
        if not lost or (minutes is not None and time.monotonic() - started > 60 * minutes):
            return
        stood = workspace.head
        health = None
        for low in range(0, len(lost), turn_size):
            done = workspace.edit_turn(lost[low : low + turn_size])
            health = done.health
            if done.rolled_back_to is not None:
                break
        records = workspace.history.in_force()
        left = lost_edits(workspace.editor, records)
        won = len(left) < len(lost)
        if not won and workspace.head != stood:
            changes.rollback(workspace, str(stood))
        still = len(left) if won else len(lost)
        yield Round(number, len(records), len(lost), still, workspace.head, not won, health)
        if not won or (health is not None and health.level != "green"):
            return
        lost = left
