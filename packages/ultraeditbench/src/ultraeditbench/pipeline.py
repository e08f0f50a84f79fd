"""The build from first to last: stages in order, resumed where a build was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ultraedit.errors import DataError
from ultraedit.io.target import refuse_unwritable
from ultraeditbench import choose, gates, ingest
from ultraeditbench.card import write_card
from ultraeditbench.config import BuildConfig
from ultraeditbench.database import WorkDatabase
from ultraeditbench.output import write_published
from ultraeditbench.rewrite import Rewriter
from ultraeditbench.tally import Tally
from ultraeditbench.write import write_shards

WORK = ".build"
"""Folder inside the output folder that holds an unfinished build."""


class Progress(Protocol):
    """What a build tells while it runs."""

    def stage(self, text: str) -> None:
        """A new stage begins."""
        ...

    def records(self, done: int, total: int) -> None:
        """`done` more records are written of `total` asked for."""
        ...


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made."""

    out: Path
    records: int
    splits: dict[str, int]
    relations: int
    counts: dict[str, int]
    """Triples read, what each gate dropped, facts left."""
    seconds: dict[str, float]
    """Wall time of each stage of the database, in seconds; stages resumed keep the time of their
    first run."""


def _finish(config: BuildConfig, counts: dict[str, int], tally: Tally, progress: Progress) -> None:
    data = config.out / "data"
    if config.published_json:
        progress.stage("writing the published form")
        for split in ("train", "dev", "eval"):
            write_published(data, config.out / f"{split}.json", split, lambda _: None)
    # splits without records leave no empty files behind
    for split in ("train", "dev", "eval"):
        if not tally.splits[split]:
            for path in data.glob(f"{split}-*.parquet"):
                path.unlink()
    write_card(config, counts, tally)


def build(config: BuildConfig, progress: Progress) -> BuildResult:
    """Builds the data set described by `config`, or goes on with one that was stopped.

    Raises `DataError` for input that cannot be read, for an output folder that holds another data
    set,
    and when nothing passes the gates; `ConfigError` for a rewriter that cannot be used.
    """
    import duckdb

    for path in config.triples:
        if not path.exists():
            raise DataError(f"{str(path)!r} does not exist; check --triples.")
    work = config.out / WORK
    if config.out.is_file():
        raise DataError(f"{str(config.out)!r} is a file; name a folder with --out.")
    refuse_unwritable(work / "build.duckdb")
    if config.out.exists() and any(config.out.iterdir()) and not work.exists():
        raise DataError(
            f"{str(config.out)!r} is not empty; choose another --out, or delete the folder."
        )
    rewriter = Rewriter.open(config.rewrite, config.rewrite_model) if config.rewrite else None
    db = WorkDatabase(work, config)
    stages: tuple[tuple[str, str, Callable[[WorkDatabase], None]], ...] = (
        ("load", "reading triples", lambda d: ingest.load(d, config.triples, progress.stage)),
        ("identify", "matching names to entities", ingest.identify),
        ("classify", "finding the class of every entity", ingest.classify),
        ("name", "measuring labels", gates.name_entities),
        ("gate", "applying the gates", lambda d: gates.gate(d, config)),
        ("choose", "choosing edits", lambda d: choose.choose(d, config)),
        ("aim", "choosing targets", lambda d: choose.aim(d, config)),
        ("probe", "choosing probes", lambda d: choose.probe(d, config)),
    )
    try:
        seconds = {}
        for name, text, stage in stages:
            progress.stage(text)
            seconds[name] = db.run(name, stage)
        counts = db.counts()
        progress.stage("writing records")
        tally = write_shards(db, config, work, rewriter, lambda n: progress.records(n, config.size))
    except duckdb.Error as error:
        raise DataError(
            f"The build in {str(config.out)!r} stopped ({str(error).splitlines()[0]}); free some space or "
            "mend what it says, and start it again: it goes on from there."
        ) from error
    finally:
        db.close()
    if not tally.written:
        reasons = "; ".join(f"{name}: {n}" for name, n in {**counts, **tally.dropped}.items() if n)
        raise DataError(f"No triple passed the gates, so there is nothing to write ({reasons}).")
    _finish(config, counts, tally, progress)
    shutil.rmtree(work)
    return BuildResult(
        config.out, tally.written, dict(tally.splits), len(tally.relations), counts, seconds
    )
