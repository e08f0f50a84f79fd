"""Readers of triples and labels: each file's form is told from its first lines, never from its
name.

Knows nothing of DuckDB.  Every reader yields `Triple`s (ids or labels or both) and `Label`s; the
one form that
is not read here is a large headerless table of ids, which `ingest` hands to DuckDB whole.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ultraedit.errors import DataError
from ultraeditbench.statements import Label, Triple, open_text
from ultraeditbench.wikidata import read_dump

SourceForm = Literal[
    "rows", "kamel", "kgconv", "label-map", "property-map", "alias-lines", "id-table", "text-table",
    "wikidata-dump",
]  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "subject_id": ("subject_id", "sub_id", "sub_uri", "head_id", "s_id", "subj_id"),
    "subject": ("subject", "sub_label", "subject_label", "subjectLabel", "head", "s", "subj"),
    "relation_id": ("relation_id", "predicate_id", "property_id", "prop_id", "r_id"),
    "relation": ("relation", "relation_label", "predicate", "property", "rel", "r", "prop"),
    "object_id": ("object_id", "obj_id", "tail_id", "o_id"),
    "object": ("object", "obj_label", "object_label", "objectLabel", "tail", "o", "obj"),
    "start": ("start", "start_time", "since"),
}
"""Column names that are understood, by meaning."""
LONGEST_CELL = 1 << 24
"""Characters of a CSV cell; Python's own limit of 131,072 refuses files for columns that nobody
reads."""
_ID = re.compile(r"^[QP]\d+$")


@dataclass(frozen=True, slots=True)
class Source:
    """A file and the form it was found to have."""

    path: Path
    form: SourceForm
    container: Literal["json-lines", "table", "parquet", "json", "lines"]


def _columns(names: list[str]) -> dict[str, str] | None:
    """Meaning -> column name, or None where subject, relation and object are not all there."""
    found = {
        meaning: next(name for name in known if name in names)
        for meaning, known in COLUMNS.items()
        if any(name in names for name in known)
    }
    ends = all(end in found or f"{end}_id" in found for end in ("subject", "relation", "object"))
    return found if ends else None


def _refuse(path: Path, why: str) -> DataError:
    known = ", ".join(
        f"{k} ({COLUMNS[k][0]}, {COLUMNS[k][1]}, ...)" for k in ("subject", "relation", "object")
    )
    return DataError(
        f"{str(path)!r} holds no triples that are understood: {why}. Columns needed: {known}."
    )


def _sniff_json(path: Path, head: list[str]) -> Source:
    first = head[0].strip()
    if first == "[" and len(head) > 1 and '"claims"' in head[1]:
        return Source(path, "wikidata-dump", "lines")
    try:
        row = json.loads(first.rstrip(","))
    except json.JSONDecodeError:
        row = None
    if row is None or (isinstance(row, dict) and len(head) == 1 and len(row) > 20):
        with open_text(path) as file:
            try:
                whole = json.load(file)
            except json.JSONDecodeError as error:
                raise _refuse(path, f"line {error.lineno} is not JSON") from error
        if isinstance(whole, dict) and whole and all(_ID.match(key) for key in whole):
            value = next(iter(whole.values()))
            return Source(path, "property-map" if isinstance(value, dict) else "label-map", "json")
        raise _refuse(path, "it is one JSON value that is no map from ids to labels")
    if not isinstance(row, dict):
        raise _refuse(path, "its first line is JSON but no object")
    if "claims" in row:
        return Source(path, "wikidata-dump", "lines")
    if "triple" in row and "answer" in row:
        return Source(path, "kgconv", "json-lines")
    if all(_ID.match(key) for key in row):
        value = next(iter(row.values()))
        return Source(path, "property-map" if isinstance(value, dict) else "label-map", "json")
    names = _columns(list(row))
    if names is None:
        raise _refuse(path, f"its columns are {', '.join(row)}")
    form: SourceForm = "kamel" if isinstance(row.get(names.get("object", "")), list) else "rows"
    return Source(path, form, "json-lines")


def sniff(path: Path) -> Source:
    """Tells the form of one input file from its first lines.  Raises `DataError` when it has none
    of the known."""
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name the files in it.")
    if not path.is_file():
        raise DataError(f"{str(path)!r} is a pipe or device; put the triples into a file.")
    with reading(path, "any known form's"):
        return _sniff(path)


def _sniff(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise DataError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error
    if magic == b"PAR1":
        import pyarrow.parquet as pq

        names = pq.read_schema(path).names
        if _columns(names) is None:
            raise _refuse(path, f"its columns are {', '.join(names)}")
        return Source(path, "rows", "parquet")
    try:
        with open_text(path) as file:
            head = list(itertools.islice(file, 3))
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not UTF-8 text; convert it first.") from error
    if not head or not head[0].strip():
        raise _refuse(path, "it is empty")
    if head[0].lstrip()[0] in "{[":
        return _sniff_json(path, head)
    cells = head[0].rstrip("\n").split("\t")
    if _columns(cells) is not None:
        return Source(path, "rows", "table")
    if "," in head[0] and "\t" not in head[0] and _columns(next(csv.reader(head[:1]))) is not None:
        return Source(path, "rows", "table")
    if len(cells) == 3 and re.fullmatch(r"P\d+", cells[1]):
        both = _ID.match(cells[0]) and _ID.match(cells[2])
        return Source(path, "id-table" if both else "text-table", "table")
    if len(cells) >= 2 and _ID.match(cells[0]):
        return Source(path, "alias-lines", "lines")
    if len(cells) == 3:
        return Source(path, "text-table", "table")
    raise _refuse(path, f"its first line is {head[0].strip()[:60]!r}")


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return value.get("chosen")
    return str(value) or None


def _row_reader(names: dict[str, str]) -> Callable[[dict[str, Any]], Iterator[Triple]]:
    def read(row: dict[str, Any]) -> Iterator[Triple]:
        get = {meaning: row.get(column) for meaning, column in names.items()}
        relation = _text(get.get("relation_id")) or _text(get.get("relation"))
        if relation is None:
            return
        objects = get.get("object")
        for value in objects if isinstance(objects, list) else [objects]:
            yield Triple(
                _text(get.get("subject_id")), _text(get.get("subject")), relation,
                _text(get.get("object_id")), _text(value), _text(get.get("start")),
            )  # fmt: skip

    return read


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"{str(path)!r}, line {number}: not JSON ({error.msg})."
                    ) from error


def _table_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open_text(path) as file:
        header = file.readline()
        if "\t" in header:
            names = header.rstrip("\n").split("\t")
            for line in file:
                yield dict(zip(names, line.rstrip("\n").split("\t"), strict=False))
        else:
            csv.field_size_limit(LONGEST_CELL)
            yield from csv.DictReader(file, next(csv.reader([header])))


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(50_000):
        yield from batch.to_pylist()


def _kgconv(path: Path) -> Iterator[Triple]:
    for row in _json_lines(path):
        subject, relation, value = row["triple"]
        if relation.startswith("-"):
            # an inverse property: the triple is written from the object's side
            subject, relation, value = value, relation[1:], subject
        yield Triple(subject, None, relation, value, None)


def _text_table(path: Path) -> Iterator[Triple]:
    with open_text(path) as file:
        for line in file:
            cells = line.rstrip("\n").split("\t")
            if len(cells) == 3:
                subject, relation, value = (cell.replace("_", " ") for cell in cells)
                yield Triple(None, subject, relation, None, value)


def _labels(source: Source) -> Iterator[Label]:
    if source.form == "alias-lines":
        with open_text(source.path) as file:
            for line in file:
                cells = line.rstrip("\n").split("\t", 2)
                if len(cells) > 1 and cells[1]:
                    yield Label(cells[0], cells[1])
        return
    with open_text(source.path) as file:
        for key, value in json.load(file).items():
            yield Label(key, value["label"] if isinstance(value, dict) else value)


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever reading `path` raises becomes a `DataError` that says what is wrong with the file;
    `what` is the form its rows should have."""
    try:
        yield
    except EOFError as error:
        raise DataError(
            f"{str(path)!r} is packed and ends early; get the whole file again."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{str(path)!r} holds text that is not UTF-8 ({error.reason}); convert it first."
            if isinstance(error, UnicodeDecodeError)
            else f"{str(path)!r} holds half of a surrogate pair; write the character as UTF-8 text."
        ) from error
    except (OSError, zlib.error, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r} cannot be read ({why}); get the file again.") from error
    except RecursionError as error:
        raise DataError(f"{str(path)!r} holds JSON that is nested too deeply.") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # a row with a list where a text should be, and the like: thousands of ways
        raise DataError(
            f"{str(path)!r} has a row that is not as {what} rows are; mend it or take it out."
        ) from error


def read(source: Source) -> Iterator[Triple | Label]:
    """All triples and labels of one file, in file order.  Raises `DataError` with the line that
    cannot be read."""
    with reading(source.path, source.form):
        yield from _items(source)


def _items(source: Source) -> Iterator[Triple | Label]:
    path = source.path
    if source.form == "wikidata-dump":
        yield from read_dump(path)
    elif source.form in ("alias-lines", "label-map", "property-map"):
        yield from _labels(source)
    elif source.form == "kgconv":
        yield from _kgconv(path)
    elif source.form in ("text-table", "id-table"):
        yield from _text_table(path)
    else:
        rows = {"json-lines": _json_lines, "table": _table_rows, "parquet": _parquet_rows}
        stream = rows[source.container](path)
        first = next(stream, None)
        if first is None:
            return
        names = _columns(list(first))
        if names is None:  # a first row with fewer cells than the header
            raise _refuse(
                path, f"its first row has only {', '.join(map(str, first)) or 'no cells'}"
            )
        reader = _row_reader(names)
        for row in itertools.chain([first], stream):
            yield from reader(row)
