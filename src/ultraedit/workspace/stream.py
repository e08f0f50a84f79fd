"""Streams of edits that find their place again after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ultraedit import arguments
from ultraedit.data.read import Source, read_records
from ultraedit.data.record import Record
from ultraedit.io.digest import sha256_text
from ultraedit.workspace.health import UnhealthyError, advice
from ultraedit.workspace.history import History
from ultraedit.workspace.journal import GENESIS, SourceRow
from ultraedit.workspace.workspace import KeptTurn, Workspace


def advance(digest: str, record: Record) -> str:
    """Digest of a row of records that grew by one; it starts at 64 zeros."""
    text = json.dumps([digest, record.prompt, record.target])
    return sha256_text(text)


def last_source(history: History, turn: int) -> SourceRow | None:
    """How far the latest stream from a file got, on the way to a state."""
    while turn:
        row = history.journal.turns[turn]
        if row.source is not None:
            return row.source
        turn = row.parent
    return None


def written_rows(
    history: History, source: str | os.PathLike[str], records: Iterator[Record]
) -> int:
    """How many of the first records of a source the latest stream has written already; 0 if it is another source.

    A file that was mended or lengthened behind the written rows counts as the same.
    """
    place = last_source(history, history.head)
    if place is None:
        return 0
    digest = GENESIS
    for count, record in enumerate(records, 1):
        digest = advance(digest, record)
        if count == place.rows:
            return count if digest == place.rows_sha256 else 0
    return 0


def stream(
    workspace: Workspace,
    source: Source,
    *,
    turn_size: int = 100,
    with_rephrases: bool = False,
    again: bool = False,
) -> Iterator[KeptTurn]:
    """Edit turn by turn, yielding each once it is safe on disk.

    A file whose first rows are already written goes on behind them, and gives nothing if all are; `again` starts
    from its first row.  Records in memory always start from the first.
    Raises UnhealthyError after a red reading where the policy is stop or rollback.
    """
    turn_size = arguments.whole(turn_size, "turn_size", 1, "a turn holds at least {least} edit")
    # all is checked here and not when the first turn is asked for
    return _stream(workspace, source, read_records(source), turn_size, with_rephrases, again)


def _stream(
    workspace: Workspace,
    source: Source,
    records: Iterator[Record],
    turn_size: int,
    with_rephrases: bool,
    again: bool,
) -> Iterator[KeptTurn]:
    named = isinstance(source, str | os.PathLike)
    skip = 0
    if named and not again:
        skip = written_rows(workspace.history, source, read_records(source))
    digest = GENESIS
    chunk: list[Record] = []
    rows = 0

    def flush() -> KeptTurn:
        place = SourceRow(name=Path(source).name, rows=rows, rows_sha256=digest) if named else None  # type: ignore[arg-type]
        done = workspace.edit_turn(chunk, with_rephrases=with_rephrases, source=place)
        chunk.clear()
        return done

    for record in records:
        rows += 1
        digest = advance(digest, record)
        if rows <= skip:
            continue
        chunk.append(record)
        if len(chunk) == turn_size:
            done = flush()
            yield done
            _heed(workspace, done)
    if chunk:
        done = flush()
        yield done
        _heed(workspace, done)


def _heed(workspace: Workspace, done: KeptTurn) -> None:
    policy = workspace.store.config.health.policy
    if done.health.level != "red" or policy == "warn":
        return
    reasons = "; ".join(done.health.reasons)
    what_to_do = advice(done.health, workspace.store.config.health)
    if done.rolled_back_to is not None:
        to = done.rolled_back_to
        where = f'rolled back to turn {to} ("healthy")' if to else "rolled back to the base"
        raise UnhealthyError(
            f"turn {done.turn} turned the model red ({reasons}); the stream was stopped and {where}: {what_to_do}."
        )
    raise UnhealthyError(
        f"turn {done.turn} turned the model red ({reasons}); the stream was stopped there: {what_to_do}."
    )
