"""One chunk of the plan into its shards.  Knows nothing of other chunks or of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultraeditbench.compose import SPLITS, Composer, Draft, PlanRow
from ultraeditbench.output import ShardWriter
from ultraeditbench.rewrite import Rewriter
from ultraeditbench.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

_TICK = 5_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is written together: rows of the plan, one shard a split."""

    number: int
    rows: pa.Table
    """The columns of `PlanRow`, in stream order."""
    room: int
    """Most records to write."""
    last: int
    """Greatest `i` written as a first edit before this chunk."""
    missing: frozenset[int]
    """Those `i` among the rows whose first edit was not written; a contradicting edit of these, or
    of any beyond `last`, has nothing to contradict."""


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """What is known after a chunk is on disk."""

    last: int
    missing: frozenset[int]
    """`i` of the rows that failed a gate."""
    tally: Tally


def write_chunk(
    chunk: Chunk,
    folder: Path,
    composer: Composer,
    rewriter: Rewriter | None,
    seed: int,
    tick: Callable[[int], None],
) -> ChunkDone:
    """Writes `folder/<split>-<number>.parquet`; nothing is left behind on failure."""
    tally = Tally(seed)
    failed: set[int] = set()
    last = [chunk.last]
    writers = {
        split: ShardWriter(folder / f"{split}-{chunk.number:05d}.parquet") for split in SPLITS
    }
    try:
        pending = 0
        drafts = _drafts(chunk, composer, tally, failed, last)
        for draft in rewriter.apply(drafts) if rewriter else drafts:
            record = draft.as_dict(composer.kind)
            writers[draft.split].add(record)
            tally.add(record)
            pending += 1
            if pending == _TICK:
                tick(pending)
                pending = 0
        for writer in writers.values():
            writer.close()
        tick(pending)
    except BaseException:
        for writer in writers.values():
            writer.discard()
        raise
    return ChunkDone(last[0], frozenset(failed), tally)


def _rows(table: pa.Table) -> Iterator[PlanRow]:
    for batch in table.to_batches(max_chunksize=_TICK):
        yield from map(PlanRow._make, zip(*(c.to_pylist() for c in batch.columns), strict=True))


def _drafts(
    chunk: Chunk, composer: Composer, tally: Tally, failed: set[int], last: list[int]
) -> Iterator[Draft]:
    """Drafts until there is no room left; what fails a gate is counted."""
    room = chunk.room
    for row in _rows(chunk.rows):
        if room <= 0:
            return
        if row.variant and (row.i > chunk.last or row.i in chunk.missing):
            continue
        draft = composer.compose(row)
        if isinstance(draft, str):
            tally.dropped[draft] += 1
            failed.add(row.i)
            continue
        if not row.variant:
            last[0] = row.i
        room -= 1
        yield draft
