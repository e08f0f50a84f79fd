"""Result files on disk: JSON by schema, per-question scores as Parquet.  Each is written whole or
not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ultraedit.errors import DataError
from ultraedit.evaluation.evaluation import QuestionScores
from ultraedit.evaluation.schema import SCHEMA_VERSION, Result
from ultraedit.extras import require
from ultraedit.io.atomic import new_file, write_text

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 50_000  # rows of the Parquet file held at once


def write_result(path: Path, result: Result) -> None:
    """Writes `result.json` atomically."""
    write_text(path, result.model_dump_json(indent=1) + "\n")


def read_result(path: Path) -> Result:
    """Reads a `result.json`.  Raises DataError when it is missing, of another version, or not
    one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the result file {str(path)!r}: {error}.") from error
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "the file"
        hint = (
            f"this version reads schema_version {SCHEMA_VERSION}"
            if where == "schema_version"
            else "it was not written by `ultraedit bench` or `eval`, or was changed since"
        )
        raise DataError(
            f"{str(path)!r} is not a result: {where}: {first['msg']}; {hint}."
        ) from error


def write_scores(
    path: Path, rows: Sequence[QuestionScores], *, preset: str, order: int, edits: int | None
) -> None:
    """Writes every question of one evaluation to a Parquet file, atomically.

    Columns: `preset`, `order`, `edits` (edits done when asked; null for the unedited model), then
    every field of `QuestionScores`.  A folder of such files is one table to pyarrow, pandas and DuckDB.  Raises
    ConfigError without pyarrow.
    """
    require(repr(str(path)), "parquet")
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        new_file(path) as made,
        pq.ParquetWriter(
            made.absolute(), _schema(), compression="zstd"
        ) as writer,  # "a:b" is no address
    ):
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            writer.write_table(_table(part, preset, order, edits))


def read_scores(path: Path) -> list[QuestionScores]:
    """Rows of a file made by `write_scores`.  Raises DataError when it is not one, or without pyarrow."""
    require(repr(str(path)), "parquet", DataError)
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f.name for f in fields(QuestionScores)]
    try:
        table = pq.read_table(path, columns=names)
        columns = {name: table.column(name).to_pylist() for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"cannot read the scores in {str(path)!r}: {error}.") from error
    return [
        QuestionScores(**{name: columns[name][i] for name in names}) for i in range(table.num_rows)
    ]


def _table(rows: Sequence[QuestionScores], preset: str, order: int, edits: int | None) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, list[Any]] = {
        "preset": [preset] * len(rows),
        "order": [order] * len(rows),
        "edits": [edits] * len(rows),
    }
    columns |= {f.name: [getattr(row, f.name) for row in rows] for f in fields(QuestionScores)}
    return pa.table(columns, schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[str, Callable[[], pa.DataType]] = {
        "str": pa.string,
        "int": pa.int64,
        "float": pa.float64,
        "bool": pa.bool_,
        "Family": pa.string,
    }
    columns = [("preset", pa.string()), ("order", pa.int64()), ("edits", pa.int64())]
    # annotations are strings here: `float | None` and the like
    columns += [
        (f.name, types[str(f.type).removesuffix(" | None")]()) for f in fields(QuestionScores)
    ]
    return pa.schema(columns)
