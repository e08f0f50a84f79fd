"""Stage: the plan into shards, a chunk at a time; a state file after each chunk lets a killed
build go on.

Knows nothing of how the plan was made.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.errors import DataError
from ultraedit.io.atomic import new_file
from ultraeditbench.chunk import Chunk, ChunkDone, write_chunk
from ultraeditbench.compose import Composer, PlanRow
from ultraeditbench.config import BuildConfig
from ultraeditbench.database import WorkDatabase
from ultraeditbench.output import unfinished
from ultraeditbench.relations import Relation, resolve
from ultraeditbench.rewrite import Rewriter
from ultraeditbench.tally import Tally
from ultraeditbench.workers import Workers

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 100_000
"""Rows of the plan to a chunk; a chunk becomes one shard a split."""


def _relations(db: WorkDatabase) -> list[Relation]:
    rows = db.con.execute("SELECT r, id, label FROM relations ORDER BY r").fetchall()
    found = [resolve(pid, {pid: label}) for _, pid, label in rows]
    return [relation for relation in found if relation is not None]


def _chunks(db: WorkDatabase) -> list[tuple[int, int]]:
    """(variant, first i) of every chunk, in stream order."""
    sizes = db.con.execute(
        "SELECT variant, max(i) + 1 FROM plan GROUP BY variant ORDER BY variant"
    ).fetchall()
    return [(variant, first) for variant, size in sizes for first in range(0, size, CHUNK)]


def _rows(db: WorkDatabase, variant: int, first: int) -> pa.Table:
    return db.con.sql(
        f"SELECT {', '.join(PlanRow._fields)} FROM plan "
        "WHERE variant = ? AND i >= ? AND i < ? ORDER BY i",
        params=[variant, first, first + CHUNK],
    ).to_arrow_table()


class _State:
    """Progress of the stage: the next chunk, the tally, and what contradicting edits need to
    know."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.next = 0
        self.last = -1
        """Greatest `i` written as a first edit; contradicting edits of later ones have nothing to
        contradict."""
        self.missing: set[int] = set()
        self.tally = Tally(seed)
        if path.exists():
            try:
                held = json.loads(path.read_text(encoding="utf-8"))
                self.next, self.last = held["next"], held["last"]
                self.missing = set(held["missing"])
                self.tally = Tally.from_json(held["tally"])
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise DataError(
                    f"{str(path)!r} is damaged, so the unfinished build cannot go on; delete the "
                    "folder of the build to start over."
                ) from error

    def save(self) -> None:
        body = {
            "next": self.next,
            "last": self.last,
            "missing": sorted(self.missing),
            "tally": self.tally.to_json(),
        }
        with new_file(self.path, unfinished(self.path)) as made:
            made.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")

    def chunk(self, db: WorkDatabase, limit: int, number: int, variant: int, first: int) -> Chunk:
        """The chunk with all that composing it needs to know of those before."""
        rows = _rows(db, variant, first)
        among = range(first, first + CHUNK) if variant else range(0)
        return Chunk(
            number, rows, limit - self.tally.written, self.last,
            frozenset(i for i in self.missing if i in among),
        )  # fmt: skip

    def done(self, number: int, result: ChunkDone) -> None:
        """Takes in a finished chunk; they come in order."""
        self.next = number + 1
        self.last = max(self.last, result.last)
        self.missing |= result.missing
        self.tally.merge(result.tally)
        self.save()


def write_shards(
    db: WorkDatabase,
    config: BuildConfig,
    work: Path,
    rewriter: Rewriter | None,
    tick: Callable[[int], None],
) -> Tally:
    """Writes `out/data/<split>-<chunk>.parquet` for every chunk that is not written yet; gives the
    counts.  The bytes do not depend on how many processes write."""
    state = _State(work / "write.json", config.seed)
    folder = config.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    firsts = math.ceil(config.size / (1 + config.conflicts))
    tick(state.tally.written)
    chunks = list(enumerate(_chunks(db)))[state.next :]
    relations = _relations(db)
    count = 1 if rewriter else min(config.threads, len(chunks))
    groups = [
        (firsts, [(number, v, first) for number, (v, first) in chunks if not v]),
        # whether a first edit was written must be known before one that contradicts it
        (config.size, [(number, v, first) for number, (v, first) in chunks if v]),
    ]
    if count < 2:
        composer = Composer(relations, config.kind)
        for limit, group in groups:
            for number, variant, first in group:
                if state.tally.written < limit:
                    chunk = state.chunk(db, limit, number, variant, first)
                    done = write_chunk(chunk, folder, composer, rewriter, config.seed, tick)
                    state.done(number, done)
        return state.tally
    with Workers(count, folder, relations, config.kind, config.seed) as workers:
        for limit, group in groups:
            _share_out(db, state, workers, limit, deque(group), tick)
    return state.tally


def _share_out(
    db: WorkDatabase,
    state: _State,
    workers: Workers,
    limit: int,
    group: deque[tuple[int, int, int]],
    tick: Callable[[int], None],
) -> None:
    """The chunks of one group through the processes, taken in in their order."""
    begun: deque[int] = deque()
    finished: dict[int, ChunkDone] = {}
    held: Chunk | None = None
    coming = 0  # rows under way, the most records that can still come from them
    sizes: dict[int, int] = {}
    while group or begun or held:
        while group and workers.free and state.tally.written < limit:
            if held is None:
                held = state.chunk(db, limit, *group[0])
            # a chunk that could overflow the limit waits until the room for it is known
            if begun and state.tally.written + coming + len(held.rows) > limit:
                break
            held = replace(held, room=limit - state.tally.written - coming)
            number = group.popleft()[0]
            begun.append(number)
            sizes[number] = len(held.rows)
            coming += len(held.rows)
            workers.give(held)
            held = None
        if not begun:
            return
        finished.update(workers.take(tick))
        while begun and begun[0] in finished:
            number = begun.popleft()
            coming -= sizes.pop(number)
            state.done(number, finished.pop(number))
