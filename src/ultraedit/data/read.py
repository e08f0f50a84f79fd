"""`read_records`: any source -> a lazy stream of `Record`.  Joins rows (sources) and forms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ultraedit import arguments
from ultraedit.data.forms import FORMS, DataForm, form_named, sniff
from ultraedit.data.hub import check_hub, hub_rows
from ultraedit.data.record import Record
from ultraedit.data.report import ReadReport
from ultraedit.data.row import Row, RowError, check_text, kind_of, quote
from ultraedit.data.sources import Raw, local_kind, local_rows, stem_of
from ultraedit.errors import ConfigError, DataError

Source = str | os.PathLike[str] | Iterable[Mapping[str, Any] | Record | tuple[str, str]]


def read_records(
    source: Source,
    *,
    form: str | None = None,
    strict: bool = True,
    report: ReadReport | None = None,
) -> Iterator[Record]:
    """Records of a file, a folder of Parquet shards, a hub data set, or an iterable, one at a time.

    Memory is constant in the number of rows, but for .json lists.

    Args:
        source: A path (.json, .jsonl, .ndjson, .csv, .tsv, all also with .gz, .parquet, or a folder of Parquet
            shards); `hf:owner/name:split`; or an iterable of mappings with at least `prompt` and `target`, of
            `Record`s, or of (prompt, target) pairs.
        form: The name of a form (`ultraedit.data.FORMS`); None tells it from the columns of the first row.
        strict: The first row that cannot be used raises.  Otherwise such rows are left out, and counted and named
            by line in `report`.
        report: Filled in while the stream is read.

    Returns:
        A lazy stream of records.

    Raises:
        DataError: At once for a missing file, an unknown ending, form or hub id, and while reading for the rest (in
            either mode for a file that is broken as a whole, holds no rows, or fits no form).
    """
    report = _report(report)
    wanted = None if form is None else form_named(form)
    if isinstance(source, str) and source.startswith("hf:"):
        check_hub(source)
        report.source = source
        stem = source.removeprefix("hf:").rpartition(":")[0].rpartition("/")[2]
        return _records(hub_rows(source), repr(source), stem, wanted, strict, report, "row")
    if isinstance(source, (str, os.PathLike)):
        path = _path(source)
        kind = local_kind(path)
        report.source = str(source)
        unit = "line" if kind in ("jsonl", "csv", "tsv") else "row"
        rows = local_rows(path, kind)
        return _records(rows, repr(str(path)), stem_of(path), wanted, strict, report, unit)
    items = arguments.each(source)
    if items is None:
        raise DataError(
            f"records must come from a path or an iterable of records, found {kind_of(source)}: "
            f"{quote(source)}; put a single record in a list"
        )
    report.source = "memory"
    return _records(_memory(items), "the given records", "record", wanted, strict, report, "row")


def _report(report: ReadReport | None) -> ReadReport:
    if report is None:
        return ReadReport()
    if not isinstance(report, ReadReport):
        raise DataError(f"report must be a ReadReport, found {arguments.quoted(report)}")
    return report


def _path(source: str | os.PathLike[str]) -> Path:
    try:
        return arguments.place(source, "the file of records")
    except ConfigError as error:
        raise DataError(str(error)) from None


def _memory(source: Iterable[object]) -> Iterator[tuple[int, Any]]:
    for number, item in enumerate(source, start=1):
        if isinstance(item, (Record, Mapping)):
            yield number, item
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            yield number, {"prompt": item[0], "target": item[1]}
        else:
            yield (
                number,
                RowError(
                    "a record must be a mapping, a Record or a (prompt, target) pair, found "
                    f"{quote(item)}"
                ),
            )


def _records(
    rows: Iterator[Raw] | Iterator[tuple[int, Any]],
    where: str,
    stem: str,
    form: DataForm | None,
    strict: bool,
    report: ReadReport,
    unit: str,
) -> Iterator[Record]:
    shared: dict[str, Any] = {}
    for line, raw in rows:
        report.rows += 1
        try:
            if isinstance(raw, RowError):
                raise raw
            if isinstance(raw, Record):
                found = [_checked(raw, stem, line)]
            else:
                form = form or _sniffed(raw)
                if report.form is None:
                    report.form, report.columns = form.name, tuple(map(str, raw))
                found = list(form.records(Row(raw, stem, line, shared)))
        except (RowError, DataError) as error:  # the latter: a record refuses its field
            problem = str(error).removesuffix(".")
            if strict:
                raise DataError(f"{where}, {unit} {line}: {problem}") from None
            report.refuse(line, problem)
            continue
        report.used += 1
        report.records += len(found)
        yield from found
    if report.source != "memory":
        if report.rows == 0:
            raise DataError(
                f"{where} holds no rows; it needs at least one with `prompt` and `target`"
            )
        if report.form is None:
            first = report.bad[0]
            raise DataError(f"no row of {where} can be read; {unit} {first.line}: {first.reason}")


def _checked(record: Record, stem: str, line: int) -> Record:
    check_text(record.prompt, "prompt")
    check_text(record.target, "target")
    if record.id and record.line is not None:
        return record
    return replace(
        record, id=record.id or f"{stem}:{line}", line=line if record.line is None else record.line
    )


def _sniffed(row: Mapping[str, Any]) -> DataForm:
    form = sniff(row)
    if form is not None:
        return form
    missing = [name for name in ("prompt", "target") if name not in row]
    found = ", ".join(map(str, row)) or "nothing"
    names = ", ".join(form.name for form in FORMS)
    columns = " and ".join(f"`{name}`" for name in missing)
    raise RowError(
        f"column{'s' if len(missing) > 1 else ''} {columns} missing; found: {found}; "
        "rename your columns to `prompt` and `target` (the columns fit no other known form "
        f"either: {names})"
    )
