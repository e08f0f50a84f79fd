"""Files of the finished data set: Parquet shards, the published JSON form.  Written beside,
synced, renamed.

Knows nothing of how records are made.  The schema is documented in docs/ultraeditbench.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.io.atomic import new_file, put_in_place

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 10_000
PUBLISHED = ("prompt", "rephrase_prompt", "ans", "loc", "loc_ans", "subject")
"""Fields of the published data set, in its order."""


def unfinished(path: Path) -> Path:
    """Where `path` is written until it is complete; a build that is started again finds and replaces it."""
    return path.with_name(path.name + ".tmp")


def schema() -> pa.Schema:
    """Column names and types of a shard."""
    import pyarrow as pa

    text = pa.string()
    probes = pa.list_(pa.struct([("prompt", text), ("answer", text), ("kind", text)]))
    return pa.schema(
        [
            (name, text)
            for name in ("id", *PUBLISHED, "split", "kind", "old", "relation", "relation_label")
        ]
        + [
            ("subject_id", text),
            ("answer_id", text),
            ("rephrases", pa.list_(text)),
            ("locality", probes),
        ]
        + [("personas", pa.list_(text)), ("portability", probes), ("conflicts_with", text)]
        + [("rewritten", pa.bool_())],
        metadata={"ultraeditbench": "1"},
    )


class ShardWriter:
    """One Parquet file, written in row groups of `ROW_GROUP` records; nothing is left behind on
    failure."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self._held: list[dict[str, Any]] = []
        self._schema = schema()
        self._file = unfinished(path).open("wb")
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def add(self, record: dict[str, Any]) -> None:
        """Appends one record."""
        self._held.append(record)
        if len(self._held) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.Table.from_pylist(self._held, schema=self._schema))
            self._held.clear()

    def close(self) -> None:
        """Completes the file under its final name."""
        self._flush()
        self._writer.close()
        self._file.close()
        put_in_place(Path(self._file.name), self.path)

    def discard(self) -> None:
        """Closes and removes the incomplete file."""
        self._writer.close()
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)


def read_shards(folder: Path, split: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    """The records of one split in stream order, a row group in memory at a time."""
    import pyarrow.parquet as pq

    for path in sorted(folder.glob(f"{split}-*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP, columns=columns):
            yield from batch.to_pylist()


def write_published(folder: Path, out: Path, split: str, tick: Callable[[int], None]) -> None:
    """`out` becomes a JSON list of one split's records with the fields of the published data
    set."""
    with new_file(out, unfinished(out)) as made, made.open("wb") as file:
        file.write(b"[")
        for number, record in enumerate(read_shards(folder, split, list(PUBLISHED))):
            file.write(b",\n" if number else b"\n")
            body = {name: record[name] for name in PUBLISHED}
            file.write(json.dumps(body, ensure_ascii=False).encode())
            tick(1)
        file.write(b"\n]\n")
