"""The journal: an append-only file of JSON lines in which every commit vouches for all bytes before it.

A block is the edit and turn lines of one commit, then its commit line.  The commit's digest is the sha256 of the
previous digest, the block's lines and the commit line itself, so a changed byte anywhere is found and placed.
Specification: docs/format.md.  Knows nothing of models or tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from ultraedit.data.record import Record
from ultraedit.errors import WorkspaceError

GENESIS = "0" * 64
_TAIL = len(',"digest":"') + 64 + len('"}')
_EDIT, _TURN, _COMMIT = b'{"edit":', b'{"turn":', b'{"commit":'


class JournalRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EditRow(JournalRow):
    """One edit, as it was written and what came of it.  `edit` numbers every edit ever, from 1."""

    edit: NonNegativeInt
    turn: NonNegativeInt
    id: str
    prompt: str
    target: str
    rephrases: tuple[str, ...] = ()
    """Further wordings that were written; rephrases kept for evaluation are not in the journal."""
    sentences: tuple[str, ...] = ()
    """What was written for the prompt and its wordings in the model's own words; none where the bare target was."""
    line: int | None = None
    probability_before: float
    probability_after: float
    learned: bool
    superseded_by: str | None = None
    """A later edit of the same prompt in the same turn."""
    again_of: int | None = None
    """The edit whose text this one writes again (a partly undone turn, a replay)."""

    def record(self) -> Record:
        """What was written, to be written again or asked about."""
        return Record(
            self.prompt,
            self.target,
            self.id,
            wordings=self.rephrases,
            sentences=self.sentences,
            line=self.line,
        )


class FileRow(JournalRow):
    bytes: NonNegativeInt
    sha256: str


class SourceRow(JournalRow):
    """How far into a file of facts a stream is."""

    name: str
    rows: NonNegativeInt
    rows_sha256: str
    """Running digest of the records written so far, by which a resumed stream finds its place."""


class HealthRow(JournalRow):
    level: Literal["green", "amber", "red"]
    perplexity_ratio: float
    shift_ratio: float
    success: float
    reservoir: float | None = None
    reasons: tuple[str, ...] = ()


class TurnRow(JournalRow):
    """One state of the model after the base, and how it was reached."""

    turn: NonNegativeInt
    parent: NonNegativeInt
    kind: Literal["edit", "subtract"]
    time: str
    first_edit: NonNegativeInt
    edits: NonNegativeInt
    with_rephrases: bool
    removes: tuple[int, ...] = ()
    """Edits taken out, for kind "subtract"."""
    shifts: dict[str, str]
    """Module -> digest of its fp32 shift after the turn."""
    statistics: str
    """Digest of the statistics after the turn."""
    moved: dict[str, float]
    state: FileRow | None
    """None where a long replay passed through without writing the state down."""
    pairs: FileRow | None
    seconds: float
    source: SourceRow | None = None
    health: HealthRow | None = None


class CommitRow(JournalRow):
    """One acknowledged change of the workspace."""

    commit: NonNegativeInt
    kind: Literal["init", "edit", "undo", "rollback", "subtract", "replay", "mark"]
    head: NonNegativeInt
    """The turn the workspace stands at after it; 0 is the base model."""
    time: str
    marks: dict[str, int | None] = {}
    """Marks set (or, with null, removed)."""
    drop_states: tuple[int, ...] = ()
    drop_pairs: tuple[int, ...] = ()
    add_states: tuple[int, ...] = ()
    """States written down again that had been dropped."""
    note: str = ""
    previous: str
    digest: str


@dataclass
class Journal:
    """What an opened journal keeps in memory: turns and commits, and where each turn's edits lie in the file."""

    path: Path
    length: int = 0
    digest: str = GENESIS
    edits: int = 0
    turns: dict[int, TurnRow] = field(default_factory=dict)
    commits: list[CommitRow] = field(default_factory=list)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    states: set[int] = field(default_factory=set)
    """Turns whose state file must be on disk."""
    pairs: set[int] = field(default_factory=set)
    """Turns whose file of low-rank pairs must be on disk."""
    marks: dict[str, int] = field(default_factory=dict)
    """Name -> turn, in the order they were last set."""

    def rows(self, turn: int) -> Iterator[EditRow]:
        """The edits of one turn, read from the file.  Raises WorkspaceError where they cannot be parsed."""
        low, high = self.spans.get(turn, (0, 0))
        if low == high:
            return
        with self.path.open("rb") as file:
            file.seek(low)
            data = file.read(high - low)
        for line in data.splitlines():
            yield _parse(EditRow, line, self.path, low)

    @property
    def next_turn(self) -> int:
        return max(self.turns, default=0) + 1


def encode(
    journal: Journal, commit: CommitRow, turns: Sequence[tuple[TurnRow, Sequence[EditRow]]]
) -> tuple[bytes, CommitRow]:
    """The bytes of the block that would follow `journal`, and its commit with the digest filled in."""
    lines: list[bytes] = []
    for turn, edits in turns:
        lines += [row.model_dump_json(exclude_defaults=True).encode() for row in edits]
        lines.append(turn.model_dump_json().encode())
    before = b"".join(line + b"\n" for line in lines)
    commit = commit.model_copy(update={"previous": journal.digest})
    body = commit.model_dump_json(exclude={"digest"}).encode()
    digest = _chain(journal.digest, before, body)
    block = before + body[:-1] + f',"digest":"{digest}"}}\n'.encode()
    return block, commit.model_copy(update={"digest": digest})


def read(path: Path, length: int | None) -> Journal:
    """Read and check the first `length` bytes (all of them for None).

    Raises WorkspaceError that names the damaged commit where the chain does not hold.
    """
    try:
        with path.open("rb") as file:
            data = file.read() if length is None else file.read(length)
    except OSError as error:
        raise WorkspaceError(f"'{path}' cannot be read ({error.strerror}).") from error
    if length is not None and len(data) < length:
        raise WorkspaceError(
            f"'{path}' is damaged: it has {len(data):,} bytes and {length:,} were acknowledged."
        )
    journal = Journal(path)
    extend(journal, data, 0)
    return journal


def extend(journal: Journal, data: bytes, start: int) -> None:
    """Take the blocks in `data`, which lie at byte `start` of the file, into `journal`."""
    block = position = 0
    turns: list[tuple[TurnRow, int]] = []
    edits = first = 0
    spans: dict[int, tuple[int, int]] = {}
    while position < len(data):
        end = data.find(b"\n", position)
        where = f"commit {len(journal.commits) + 1} (from byte {start + block:,})"
        if end < 0:
            raise _damaged(journal.path, where, "its last line is cut off")
        line = data[position:end]
        if line.startswith(_EDIT):
            if not edits:
                first = position
            edits += 1
        elif line.startswith(_TURN):
            turn = _parse(TurnRow, line, journal.path, start + position)
            if turn.edits != edits:
                raise _damaged(journal.path, where, f"turn {turn.turn} has not all of its edits")
            spans[turn.turn] = (start + first, start + position) if edits else (0, 0)
            turns.append((turn, edits))
            edits = 0
        elif line.startswith(_COMMIT) and not edits:
            body = line[:-_TAIL] + b"}"
            commit = _parse(CommitRow, line, journal.path, start + position)
            digest = _chain(journal.digest, data[block:position], body)
            if commit.digest != digest or commit.previous != journal.digest:
                raise _damaged(journal.path, where, "its digest does not hold")
            _accept(journal, commit, turns, spans)
            block, turns, spans = end + 1, [], {}
        else:
            raise _damaged(journal.path, where, "it holds a line of no known kind")
        position = end + 1
    if block != len(data):
        raise _damaged(journal.path, f"byte {start + block:,}", "its commit line is missing")
    journal.length = start + len(data)


def _accept(
    journal: Journal,
    commit: CommitRow,
    turns: list[tuple[TurnRow, int]],
    spans: dict[int, tuple[int, int]],
) -> None:
    for turn, edits in turns:
        journal.turns[turn.turn] = turn
        journal.edits += edits
    known = journal.turns
    for turn, _ in turns:
        if turn.parent >= turn.turn or (turn.parent and turn.parent not in known):
            raise _damaged(journal.path, f"turn {turn.turn}", "its parent is unknown")
    if any(turn and turn not in known for turn in (commit.head, *commit.marks.values())):
        raise _damaged(journal.path, f"commit {commit.commit}", "its head or mark is unknown")
    journal.states.update(turn.turn for turn, _ in turns if turn.state is not None)
    journal.states.difference_update(commit.drop_states)
    journal.states.update(commit.add_states)
    journal.pairs.update(turn.turn for turn, _ in turns if turn.pairs is not None)
    journal.pairs.difference_update(commit.drop_pairs)
    for name, mark in commit.marks.items():
        journal.marks.pop(name, None)
        if mark is not None:
            journal.marks[name] = mark
    journal.spans |= spans
    journal.commits.append(commit)
    journal.digest = commit.digest


def _chain(previous: str, before: bytes, body: bytes) -> str:
    digest = hashlib.sha256(previous.encode())
    digest.update(before)
    digest.update(body)
    return digest.hexdigest()


def _damaged(path: Path, where: str, why: str) -> WorkspaceError:
    return WorkspaceError(
        f"'{path}' is damaged at {where}: {why}; `ultraedit verify` lists all damage, a backup mends it."
    )


JournalRowType = TypeVar("JournalRowType", bound=JournalRow)


def _parse(kind: type[JournalRowType], line: bytes, path: Path, offset: int) -> JournalRowType:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise _damaged(path, f"byte {offset:,}", error.errors()[0]["msg"].lower()) from error
