"""Every bad input gives one clear sentence with the line, the value and what to do."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from pathlib import Path

import pytest

from ultraedit.data import ReadReport, Record, read_records
from ultraedit.errors import DataError

GOOD = b'{"prompt": "p", "target": "t"}\n'

# file name, content, and what the message must say
CASES: dict[str, tuple[str, bytes, str]] = {
    "not UTF-8, JSONL": (
        "a.jsonl",
        GOOD + b'{"prompt": "caf\xe9", "target": "t"}\n',
        r"line 2: byte 0xe9 at offset 46 is not UTF-8; save the file as UTF-8",
    ),
    "not UTF-8, JSON": ("a.json", b'[\n{"prompt": "\xe9"}]', r"line 2: byte 0xe9 at offset 14"),
    "not UTF-8, CSV": (
        "a.csv",
        b"prompt,target\np,t\ncaf\xe9,t\n",
        r"line 3: byte 0xe9 at offset 21",
    ),
    "UTF-16": ("a.csv", "prompt,target\n".encode("utf-16"), r"is UTF-16, not UTF-8"),
    "missing column": (
        "a.jsonl",
        b'{"prompt": "p", "answer": "t"}\n',
        r"line 1: column `target` missing; found: prompt, answer; rename",
    ),
    "both columns missing": (
        "a.csv",
        b"frage,antwort\na,b\n",
        r"columns `prompt` and `target` missing; found: frage, antwort",
    ),
    "missing in a later row": (
        "a.jsonl",
        GOOD + b'{"prompt": "p"}\n',
        r"line 2: column `target` is missing; found: prompt",
    ),
    "empty target": (
        "a.jsonl",
        GOOD + b'{"prompt": "p", "target": "  "}\n',
        r'line 2: field `target` is empty \("  "\); give it a text',
    ),
    "empty target, CSV": ("a.csv", b"prompt,target\np,\n", r"line 2: field `target` is empty"),
    "empty prompt": ("a.jsonl", b'{"prompt": "", "target": "t"}\n', r"field `prompt` is empty"),
    "null target": (
        "a.jsonl",
        b'{"prompt": "p", "target": null}\n',
        r"field `target` must be text, found nothing \(null\)",
    ),
    "number for text": (
        "a.jsonl",
        b'{"prompt": "p", "target": 1998}\n',
        r"line 1: field `target` must be text, found a number: 1998; put the value in quotes",
    ),
    "text list with an object": (
        "a.jsonl",
        b'{"prompt": "p", "target": "t", "rephrases": [{"a": 1}]}\n',
        r"field `rephrases\[0\]` must be text, found an object",
    ),
    "list field of a wrong type": (
        "a.jsonl",
        b'{"prompt": "p", "target": "t", "rephrases": 3}\n',
        r"field `rephrases` must be a list, found a number: 3",
    ),
    "list cell that is not JSON": (
        "a.csv",
        b"prompt,target,rephrases\np,t,[one; two]\n",
        r"field `rephrases` looks like a JSON list but is not one",
    ),
    "probe without a prompt": (
        "a.jsonl",
        b'{"prompt": "p", "target": "t", "locality": [{"question": "q"}]}\n',
        r"column `prompt` is missing in `locality\[0\]`; found: question",
    ),
    "probe that is a text": (
        "a.jsonl",
        b'{"prompt": "p", "target": "t", "locality": ["q"]}\n',
        r"field `locality\[0\]` must be an object with `prompt` and `answer`, found text",
    ),
    "answer without its question": (
        "a.csv",
        b"prompt,target,unrelated,unrelated_answer\np,t,,blue\n",
        r"field `unrelated_answer` has no question",
    ),
    "half a surrogate pair": (
        "a.jsonl",
        b'{"prompt": "p \\ud83d", "target": "t"}\n',
        r"field `prompt` holds half of a surrogate pair at character 2",
    ),
    "wrong JSON, JSONL": (
        "a.jsonl",
        GOOD + GOOD + b"{'prompt': 'p'}\n",
        r"line 3: wrong JSON at column 2 .*each line must be one JSON object",
    ),
    "wrong JSON, JSON": ("a.json", b'[{"prompt": "p"},\n{"prompt" 1}]', r"line 2: wrong JSON"),
    "a number of 5,000 digits": (
        "a.jsonl",
        b'{"prompt": "p", "target": ' + b"9" * 5000 + b"}\n",
        r"line 1: wrong JSON \(a number of too many digits\)",
    ),
    "nesting without end": ("a.json", b"[" * 100_000, r"wrong JSON \(nested too deeply\)"),
    "a line break in a column name": (
        "a.csv",
        b'"my\nprompt",target\np,t\n',
        r"line 3: column `prompt` missing; found: my\\nprompt, target",
    ),
    "a list in .jsonl": ("a.jsonl", b"[\n{}]", r"looks like a JSON list: give the file the ending"),
    "lines in .json": ("a.json", GOOD + GOOD, r"line 2: wrong JSON .*ending \.jsonl"),
    "an object in .json": ("a.json", GOOD, r"holds an object, not a list of records"),
    "a bare number in a line": ("a.jsonl", b"3\n", r"a row must be an object .* found a number: 3"),
    "no rows, JSONL": ("a.jsonl", b"\n\n", r"a\.jsonl' holds no rows"),
    "no rows, JSON": ("a.json", b"[]", r"holds no rows"),
    "no rows, CSV": ("a.csv", b"prompt,target\n", r"holds no rows"),
    "nothing at all": ("a.tsv", b"", r"holds no rows"),
    "too many cells": (
        "a.csv",
        b"prompt,target\nfirst, second,t\n",
        r"line 2: too many cells: 3, but the header names 2 \(prompt, target\); put cells",
    ),
    "too few cells": ("a.tsv", b"prompt\ttarget\np\n", r"line 2: too few cells: 1, but"),
    "open quote": ("a.csv", b'prompt,target\n"p,t\n', r"line 2: not a sound CSV row"),
    "a column twice": ("a.csv", b"prompt,target,target\n", r"the header names 'target' twice"),
    "a column without a name": ("a.csv", b"prompt,,target\n", r"a column without a name"),
    "not Parquet": ("a.parquet", b"PAR?", r"a\.parquet' cannot be read as Parquet"),
    "not a gzip": ("a.jsonl.gz", GOOD, r"is not a sound gzip"),
    "truncated gzip": (
        "a.jsonl.gz",
        gzip.compress(GOOD * 3)[:-12],
        r"is a truncated gzip: it ends early after line \d; get the whole file again",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_files(tmp_path: Path, case: str) -> None:
    name, data, message = CASES[case]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        list(read_records(path))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_bad_paths_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.jsonl"):
        read_records(tmp_path / "nowhere.jsonl")
    for name in ("facts.xlsx", "facts", "facts.parquet.gz"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=re.escape("use one of .json, .jsonl, .ndjson, .csv")):
            read_records(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        read_records(tmp_path / "empty")
    (tmp_path / "f.jsonl").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"no data form 'zebra'; use one of: .*plain"):
        read_records(tmp_path / "f.jsonl", form="zebra")


def test_wrong_things_in_memory() -> None:
    for wrong in ({"prompt": "p", "target": "t"}, Record("p", "t"), b"p", 3):
        with pytest.raises(DataError, match="put a single record in a list"):
            read_records(wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the given records, row 2: a record must be .* found 3"):
        list(read_records([("p", "t"), 3]))  # type: ignore[list-item]
    with pytest.raises(DataError, match="row 1: field `target` is empty"):
        list(read_records([Record("p", " ")]))


def test_counting_names_the_bad_rows_and_keeps_the_good(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"{}\n" + GOOD + b"nonsense\n" + GOOD + b'{"prompt": "p", "target": ""}\n\xff\n' + GOOD
    )
    report = ReadReport()
    records = list(read_records(path, strict=False, report=report))
    assert [r.line for r in records] == [2, 4, 7]
    assert (report.rows, report.used, report.records, report.unusable) == (7, 3, 3, 4)
    assert [bad.line for bad in report.bad] == [1, 3, 5, 6]
    reasons = [bad.reason for bad in report.bad]
    assert "columns `prompt` and `target` missing; found: nothing" in reasons[0]
    assert "wrong JSON" in reasons[1]
    assert "field `target` is empty" in reasons[2]
    assert "0xff" in reasons[3]
    assert report.form == "plain"
    assert report.columns == ("prompt", "target")


def test_counting_still_refuses_a_file_without_one_row_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    with pytest.raises(DataError, match=r"no row of .*a\.jsonl' can be read; line 1: columns"):
        list(read_records(path, strict=False))


def test_named_bad_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultraedit.data.report.KEPT", 3)
    report = ReadReport()
    rows = [("p", "t")] + [("p", "")] * 10
    assert len(list(read_records(rows, strict=False, report=report))) == 1
    assert (report.unusable, len(report.bad)) == (10, 3)


def test_long_cells_are_read_whether_or_not_their_column_is(tmp_path: Path) -> None:
    """Python's csv refuses cells of more than 131,072 characters, in columns that nobody reads too."""
    path = tmp_path / "facts.csv"
    long = "x" * 1_000_000
    path.write_text(f"prompt,target,article\nWho?,Ida,{long}\n{long},Bo,short\n")
    before = csv.field_size_limit(131_072)
    try:
        found = list(read_records(path))
    finally:
        csv.field_size_limit(before)
    assert [(r.prompt, r.target) for r in found] == [("Who?", "Ida"), (long, "Bo")]


def test_a_cell_beyond_all_measure_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraedit.data import sources

    path = tmp_path / "facts.csv"
    path.write_text(f"prompt,target\nWho?,{'x' * 200}\n")
    before = csv.field_size_limit()
    monkeypatch.setattr(sources, "LONGEST_CELL", 100)
    try:
        with pytest.raises(DataError, match=r"line 2: not a sound CSV row \(field larger"):
            list(read_records(path))
    finally:
        csv.field_size_limit(before)


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")  # opening it would wait for a writer for ever
    (tmp_path / "null.csv").symlink_to("/dev/null")
    for name in ("pipe.jsonl", "null.csv"):
        with pytest.raises(DataError, match="is a pipe or device"):
            read_records(tmp_path / name)


def test_damaged_files_of_every_kind_are_read_or_one_sentence(tmp_path: Path) -> None:
    """Every ending, cut and changed at 24 places each: 432 files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"Who is {i}? “é”", "target": f"Ann {i}"} for i in range(40)]
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
    table = "".join(f'{r["prompt"]},"{r["target"]}"\n' for r in rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    kinds = {
        ".jsonl": lines,
        ".json": json.dumps(rows).encode(),
        ".csv": b"prompt,target\n" + table.encode(),
        ".tsv": b"prompt\ttarget\n" + table.replace(",", "\t").encode(),
        ".parquet": (tmp_path / "p.parquet").read_bytes(),
    }
    kinds |= {f"{k}.gz": gzip.compress(v) for k, v in kinds.items() if k != ".parquet"}
    tried = 0
    for ending, whole in kinds.items():
        path = tmp_path / f"facts{ending}"
        path.write_bytes(whole)
        assert len(list(read_records(path))) == 40
        for k in range(24):
            at = len(whole) * k // 24
            for damaged in (
                whole[:at],
                whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :],
            ):
                path.write_bytes(damaged)
                tried += 1
                for strict in (True, False):
                    try:
                        for _ in read_records(path, strict=strict):
                            pass
                    except DataError as error:
                        assert "\n" not in str(error)
                        assert "facts" in str(error)
    assert tried == 432
