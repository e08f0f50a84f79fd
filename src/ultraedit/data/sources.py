"""Raw rows from files, the hub and memory: `(line, row)` pairs, one at a time.

Knows nothing of forms or records.  A row that is broken by itself (a line of wrong JSON, a CSV row
with too many cells) comes out as a `RowError` in place of the row; a file that is broken as a whole
(missing, not UTF-8 where rows cannot be told apart, a truncated gzip) raises `DataError`.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ultraedit.data.row import RowError, kind_of, quote
from ultraedit.errors import DataError
from ultraedit.extras import require

Raw = tuple[int, Mapping[str, Any] | RowError]

LONGEST_CELL = 1 << 24
"""Characters of a cell.  Python's own limit of 131,072 refuses whole articles in columns that nobody reads; none at
all would take a file with an unclosed quote for one cell."""
BOM = b"\xef\xbb\xbf"
ENDINGS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


def local_kind(path: Path) -> str:
    """`json`, `jsonl`, `csv`, `tsv` or `parquet`, from the file's ending; `DataError` when it
    cannot be read, or not without a package that is not installed.
    """
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long, or a folder that may not be searched
        raise DataError(f"cannot open {quote(str(path))}: {error.strerror or error}") from None
    if not there:
        raise DataError(
            f"there is no file {str(path)!r}; check the path (a hub data set is written "
            "hf:owner/name:split)"
        )
    if path.is_dir():
        if not shards_of(path):
            raise DataError(
                f"the folder {str(path)!r} holds no .parquet file; name a file, or a folder of "
                "Parquet shards (or one that has them in its folder data)"
            )
        require(repr(str(path)), "parquet", DataError)
        return "parquet"
    if not path.is_file():
        raise DataError(
            f"{str(path)!r} is a pipe or device, and facts are read more than once; put them into a file"
        )
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    kind = ENDINGS.get(Path(plain).suffix)
    if kind is None or (kind == "parquet" and plain != name):
        known = ", ".join(ENDINGS)
        raise DataError(
            f"cannot tell what {str(path)!r} is from its ending; use one of {known} (all but "
            ".parquet also with .gz)"
        )
    if kind == "parquet":
        require(repr(str(path)), "parquet", DataError)
    return kind


def shards_of(path: Path) -> list[Path]:
    """The Parquet files of a folder in the order they are read: its own, by name; or, where it has
    none, those of its folder `data` (a set that `ultraedit build` made, or a hub repository).
    """
    return sorted(path.glob("*.parquet")) or sorted((path / "data").glob("*.parquet"))


def stem_of(path: Path) -> str:
    """The file's name without the endings above: `facts.jsonl.gz` -> `facts`."""
    name = path.name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in ENDINGS else name


def local_rows(path: Path, kind: str) -> Iterator[Raw]:
    """Rows of one local file of that kind."""
    if kind == "parquet":
        return _parquet(path)
    if kind == "json":
        return _json(path)
    if kind == "jsonl":
        return _jsonl(path)
    return _table(path, "," if kind == "csv" else "\t")


def _open(path: Path) -> IO[bytes]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        return opener(path, "rb")  # type: ignore[return-value]
    except OSError as error:
        raise DataError(f"cannot open {str(path)!r}: {error.strerror or error}") from None


def _byte_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(1-based line, byte offset of its start, the line) with the BOM taken off.

    Lines end at \\n only: U+2028 and the like are ordinary characters inside JSON text.
    """
    line = offset = 0
    with _open(path) as file:
        try:
            for raw in file:
                line += 1
                if line == 1:
                    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                        raise DataError(
                            f"{str(path)!r} is UTF-16, not UTF-8; save it as UTF-8 and try again"
                        )
                    if raw.startswith(BOM):
                        offset, raw = len(BOM), raw[len(BOM) :]
                yield line, offset, raw
                offset += len(raw)
        except EOFError:
            raise DataError(
                f"{str(path)!r} is a truncated gzip: it ends early after line {line}; get the "
                "whole file again"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{str(path)!r} is not a sound gzip ({error}, after line {line}); get the file "
                "again or drop the .gz"
            ) from None
        except OSError as error:
            raise DataError(
                f"cannot read {str(path)!r} after line {line}: {error.strerror or error}"
            ) from None


def _not_utf8(offset: int, error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    place = f"byte 0x{byte:02x} at offset {offset + error.start}"
    return f"{place} is not UTF-8; save the file as UTF-8 and try again"


def _jsonl(path: Path) -> Iterator[Raw]:
    for line, offset, raw in _byte_lines(path):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            yield line, RowError(_not_utf8(offset, error))
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            hint = "each line must be one JSON object"
            if line == 1 and raw.lstrip().startswith(b"["):
                hint = "this looks like a JSON list: give the file the ending .json"
            yield line, RowError(f"{_wrong_json(error)}: {quote(text.strip())}; {hint}")
            continue
        yield line, _object(row)


def _wrong_json(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"wrong JSON at column {error.colno} ({error.msg})"
    if isinstance(error, RecursionError):
        return "wrong JSON (nested too deeply)"
    return "wrong JSON (a number of too many digits)"  # Python's limit, 4,300


def _object(row: object) -> Mapping[str, Any] | RowError:
    if isinstance(row, Mapping):
        return row
    return RowError(
        f"a row must be an object with named fields, found {kind_of(row)}: {quote(row)}"
    )


def _json(path: Path) -> Iterator[Raw]:
    # A JSON list has no row boundaries to stream at, so it is loaded whole.
    parts = list(_byte_lines(path))
    raw = b"".join(part for _, _, part in parts)
    start = parts[0][1] if parts else 0
    try:
        rows = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{str(path)!r}, line {line}: {_not_utf8(start, error)}") from None
    except (ValueError, RecursionError) as error:
        place, hint = "", ""
        if isinstance(error, json.JSONDecodeError):
            place = f", line {error.lineno}"
            if error.msg == "Extra data":
                hint = "; if every line is one record, give the file the ending .jsonl"
        raise DataError(f"{str(path)!r}{place}: {_wrong_json(error)}{hint}") from None
    if not isinstance(rows, list):
        raise DataError(
            f"{str(path)!r} holds {kind_of(rows)}, not a list of records; "
            "put the records in [ ... ]"
        )
    for number, row in enumerate(rows, start=1):
        yield number, _object(row)


def _table(path: Path, delimiter: str) -> Iterator[Raw]:
    def lines() -> Iterator[str]:
        for line, offset, raw in _byte_lines(path):
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError as error:
                # Which row the byte belongs to depends on the quoting around it, so reading stops.
                raise DataError(f"{str(path)!r}, line {line}: {_not_utf8(offset, error)}") from None

    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{str(path)!r}, line {start}: not a sound "
                f"{'CSV' if delimiter == ',' else 'TSV'} row ({error}); "
                'put cells that hold quotes or line breaks in "..." and double the quotes inside'
            ) from None
        line, start = start, reader.line_num + 1
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice or "" in header:
                what = (
                    f"names {twice[0]!r} twice"
                    if twice and twice[0]
                    else "has a column without a name"
                )
                raise DataError(
                    f"{str(path)!r}, line {line}: the header {what}; give every column its own name"
                )
            continue
        if len(cells) != len(header):
            count = "too many" if len(cells) > len(header) else "too few"
            yield (
                line,
                RowError(
                    f"{count} cells: {len(cells)}, but the header names {len(header)} "
                    f"({', '.join(header)}); "
                    f"put cells that hold the separator in quotes: {quote(cells)}"
                ),
            )
            continue
        # An empty cell stays "": absent to an optional field, an error in a required one.
        yield line, dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Iterator[Raw]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = shards_of(path) if path.is_dir() else [path]
    number = 0
    for shard in shards:
        try:
            with pq.ParquetFile(shard) as file:
                for batch in file.iter_batches(batch_size=1024):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, _object(row)
        except (pa.ArrowException, OSError) as error:
            first = str(error).splitlines()[0]
            raise DataError(
                f"{str(shard)!r} cannot be read as Parquet ({first}); get the file again or "
                "check its ending"
            ) from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{str(shard)!r} holds text that is not UTF-8, after row {number}: {error.reason}"
            ) from None
