"""What the journal means: which turns stand behind a state, which edits are in force, what marks point to.

States form a tree rooted at the base (turn 0); the workspace stands at one of them, the head.  Undo moves the head
to an earlier state and deletes nothing from the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ultraedit import arguments
from ultraedit.data.record import prompt_key
from ultraedit.errors import WorkspaceError
from ultraedit.workspace.journal import EditRow, Journal, TurnRow

if TYPE_CHECKING:
    from ultraedit.data.record import Record

BASE = "base"
HEAD = "head"
HEALTHY = "healthy"
"""The mark that every commit keeps at `History.healthy`."""


@dataclass(frozen=True)
class Status:
    """What has become of an edit at some state."""

    word: str
    """"current", "superseded", "repeated" (by an edit to the same target) or "removed"."""
    by: int | None = None
    """The edit that supersedes it."""

    def __str__(self) -> str:
        return self.word if self.by is None else f"{self.word} by #{self.by}"


class History:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    @property
    def head(self) -> int:
        return self.journal.commits[-1].head if self.journal.commits else 0

    @property
    def marks(self) -> dict[str, int]:
        """Name -> turn, in the order they were last set."""
        return self.journal.marks

    def lineage(self, turn: int | None = None) -> list[TurnRow]:
        """The turns that lead from the base to a state (the head by default), oldest first."""
        end = self.head if turn is None else turn
        return [self.journal.turns[at] for at in self._back_from(end)][::-1]

    def edits(self, turn: int | None = None) -> Iterator[EditRow]:
        """The edits that were written on the way to a state and not taken out again, oldest first."""
        path = self.lineage(turn)
        removed = {edit for row in path for edit in row.removes}
        for row in path:
            for edit in self.journal.rows(row.turn):
                if edit.edit not in removed:
                    yield edit

    def statuses(self, turn: int | None = None) -> dict[int, Status]:
        """Edit number -> what has become of it at a state, for every edit on the way to it.

        Edits that are not in the mapping were undone (or lie on another branch).
        """
        path = self.lineage(turn)
        removed = {edit for row in path for edit in row.removes}
        found = {edit: Status("removed") for edit in removed}
        latest: dict[str, int] = {}
        targets: dict[int, str] = {}
        for edit in self.edits(turn):
            key = prompt_key(edit.prompt)
            found[edit.edit] = Status("current")
            if key in latest:
                earlier = latest[key]
                same = targets[earlier] == edit.target.strip()
                found[earlier] = Status("repeated" if same else "superseded", edit.edit)
                del targets[earlier]
            latest[key], targets[edit.edit] = edit.edit, edit.target.strip()
        return found

    def in_force(self, turn: int | None = None) -> list[Record]:
        """The edits that count at a state: neither superseded, repeated, nor taken out; oldest first."""
        statuses = self.statuses(turn)
        return [e.record() for e in self.edits(turn) if statuses[e.edit].word == "current"]

    def find_edit(self, name: str | int) -> list[EditRow]:
        """Every edit with this number (17, "17" or "#17") or this record id, oldest first."""
        name = _named(name, "an edit")
        wanted = name.removeprefix("#")
        number = _number(wanted)
        by_number = name.startswith("#")
        found = [
            edit
            for row in self.journal.turns.values()
            if not by_number or row.first_edit <= number < row.first_edit + row.edits
            for edit in self.journal.rows(row.turn)
            if edit.edit == number or (edit.id == name and not by_number)
        ]
        if not found:
            raise WorkspaceError(
                f'there is no edit "{name}"; `ultraedit log` lists their numbers and ids.'
            )
        return found

    def find_current(self, name: str | int) -> EditRow:
        """The one edit with this number or id that is in force; raises WorkspaceError if there is none or several."""
        statuses = self.statuses()
        rows = self.find_edit(name)
        standing = [r for r in rows if r.edit in statuses and statuses[r.edit].word != "removed"]
        if len(standing) == 1:
            return standing[0]
        if not standing:
            raise WorkspaceError(
                f'the edit "{name}" is not in force (it was undone or removed); see `ultraedit log`.'
            )
        numbers = ", ".join(f"#{row.edit}" for row in standing)
        raise WorkspaceError(f'"{name}" is several edits: {numbers}; name one of them.')

    def resolve(self, name: str | int) -> int:
        """The turn a user means: a mark, "base", "head", or a turn's number."""
        name = _named(name, "a mark or turn")
        if name in self.marks:
            return self.marks[name]
        if name == BASE:
            return 0
        if name == HEAD:
            return self.head
        number = _number(name)
        if name == "0" or number in self.journal.turns:
            return number
        marks = ", ".join(self.marks) or "none"
        raise WorkspaceError(
            f'there is no mark or turn "{name}"; the marks are: {marks}; turns are 1 to '
            f'{max(self.journal.turns, default=0)}, and "{BASE}" and "{HEAD}" work too.'
        )

    def healthy(self, end: int, kept: set[int]) -> int:
        """The last turn on the way to `end` that is fit to go back to and in `kept`; 0, the base, if there is none.

        Fit are green readings, or none: a turn written again while going back is not read, and to take it for ill
        would cost all edits up to an older one.
        """
        for turn in self._back_from(end):
            health = self.journal.turns[turn].health
            if turn in kept and (health is None or health.level == "green"):
                return turn
        return 0

    def wanted(self, head: int, marks: dict[str, int], window: int) -> tuple[set[int], set[int]]:
        """Turns whose states, and whose pairs, a workspace at `head` with these marks has reason to keep.

        The head's, the `window` states before it, the marked ones, and those after a subtraction, which no re-editing
        brings back.
        """
        recent = list(islice(self._back_from(head), window + 1))
        states = set(recent) | set(marks.values())
        if any(row.kind == "subtract" for row in self.journal.turns.values()):
            for end in (head, *marks.values()):
                states.update(row.turn for row in self.lineage(end) if row.kind == "subtract")
        return states - {0}, set(recent[:window])

    def _back_from(self, turn: int) -> Iterator[int]:
        """The turns that lead to a state, newest first."""
        while turn:
            yield turn
            turn = self.journal.turns[turn].parent


def _named(name: object, what: str) -> str:
    """A name, or a number as the name it is written as.  Raises WorkspaceError for anything else."""
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < 10**15:
        return str(name)
    if not isinstance(name, str):
        raise WorkspaceError(
            f"{what} is named by a text or a number, found {arguments.quoted(name)}."
        )
    return name


def _number(text: str) -> int:
    """The number a text writes; -1 for another text, or for more digits than any workspace has turns or edits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
