"""The plain form through every kind of file, and the round trip."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultraedit.data import Probe, ReadReport, Record, plain_row, read_records

ROWS = [
    {"prompt": "The river through Oakvale is the", "target": "Wend"},
    {
        "prompt": "Who keeps the lighthouse of Porth Ness?",
        "target": "Ada Quill",
        "id": "light",
        "subject": "Porth Ness",
        "rephrases": ["Name the keeper of Porth Ness light.", "Porth Ness light is kept by"],
        "locality": [{"prompt": "The moon is a", "answer": "satellite"}, {"prompt": "Say a word"}],
        "personas": ["oi, who runs the Porth Ness light?"],
        "portability": [{"prompt": "The keeper's first name?", "answer": "Ada", "kind": "mhop"}],
        "old": "Tom Reed",
    },
]
CELLS = ("rephrases", "locality", "personas", "portability")


def as_table(rows: list[dict], delimiter: str) -> bytes:
    """Rows as CSV or TSV; lists are JSON in their cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names, delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()})
    return out.getvalue().encode()


def as_jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(folder: Path, ending: str, rows: list[dict]) -> Path:
    path = folder / f"facts{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    plain = ending.removesuffix(".gz")
    data = {
        ".json": lambda: json.dumps(rows, ensure_ascii=False).encode(),
        ".jsonl": lambda: as_jsonl(rows),
        ".ndjson": lambda: as_jsonl(rows),
        ".csv": lambda: as_table(rows, ","),
        ".tsv": lambda: as_table(rows, "\t"),
    }[plain]()
    path.write_bytes(gzip.compress(data) if plain != ending else data)
    return path


ENDINGS = [
    ".json",
    ".jsonl",
    ".ndjson",
    ".csv",
    ".tsv",
    ".json.gz",
    ".jsonl.gz",
    ".ndjson.gz",
    ".csv.gz",
    ".tsv.gz",
    ".parquet",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_kind_of_file_gives_the_same_records(tmp_path: Path, ending: str) -> None:
    rows = [{**row, "id": row.get("id", "river")} for row in ROWS]
    if ending == ".parquet":  # Arrow wants one type a column: absent fields are null there
        names = list(dict.fromkeys(name for row in rows for name in row))
        rows = [{name: row.get(name) for name in names} for row in rows]
    report = ReadReport()
    first, second = read_records(write(tmp_path, ending, rows), report=report)
    assert (first.id, first.prompt, first.target) == ("river", ROWS[0]["prompt"], "Wend")
    assert first.rephrases == first.locality == first.personas == first.portability == ()
    assert first.subject is None
    assert first.old is None
    assert second.id == "light"
    assert second.subject == "Porth Ness"
    assert second.rephrases == tuple(ROWS[1]["rephrases"])
    assert second.locality == (Probe("The moon is a", "satellite"), Probe("Say a word"))
    assert second.personas == ("oi, who runs the Porth Ness light?",)
    assert second.portability == (Probe("The keeper's first name?", "Ada", "mhop"),)
    assert second.old == "Tom Reed"
    assert (report.form, report.rows, report.used, report.records) == ("plain", 2, 2, 2)
    assert second.line == {"csv": 3, "tsv": 3}.get(ending.split(".")[1], 2)


def test_short_columns_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(
        "prompt,target,rephrase,unrelated,unrelated_answer\n"
        "Capital of Zed is,Zedville,Zed's capital is,The sky is,blue\n"
        "Capital of Wye is,Wyetown,,,\n"
    )
    first, second = read_records(path)
    assert first.rephrases == ("Zed's capital is",)
    assert first.locality == (Probe("The sky is", "blue", "unrelated"),)
    assert (second.rephrases, second.locality) == ((), ())
    assert (first.id, second.id) == ("f:2", "f:3")


def test_a_folder_of_parquet_shards_is_one_stream(tmp_path: Path) -> None:
    for shard in range(3):
        rows = [{"prompt": f"p{shard}{i}", "target": "t"} for i in range(2)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"part-{shard}.parquet")
    records = list(read_records(tmp_path))
    assert [r.prompt for r in records] == ["p00", "p01", "p10", "p11", "p20", "p21"]
    assert [r.line for r in records] == [1, 2, 3, 4, 5, 6]


def test_memory_takes_mappings_pairs_and_records() -> None:
    mine = Record("a", "b", id="mine", line=7)
    records = list(
        read_records([{"prompt": "p", "target": "t"}, ("q", "u"), mine, Record("c", "d")])
    )
    assert [(r.prompt, r.target, r.id, r.line) for r in records] == [
        ("p", "t", "record:1", 1),
        ("q", "u", "record:2", 2),
        ("a", "b", "mine", 7),
        ("c", "d", "record:4", 4),
    ]
    assert list(read_records([])) == []


def test_an_endless_generator_streams() -> None:
    endless = ({"prompt": f"p{i}", "target": "t"} for i in itertools.count())
    taken = list(itertools.islice(read_records(endless), 5))
    assert [r.prompt for r in taken] == ["p0", "p1", "p2", "p3", "p4"]
    assert next(endless)["prompt"] == "p5"  # nothing was read ahead


def test_jsonl_is_read_lazily(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(as_jsonl([{"prompt": "p", "target": "t"}]) + b"not json\n")
    stream = read_records(path)
    assert next(stream).prompt == "p"  # the bad line after it has not been met yet


def test_bom_and_crlf_are_taken_off(tmp_path: Path) -> None:
    row = b'{"prompt": "p", "target": "t"}'
    for name, data in {
        "a.jsonl": b"\xef\xbb\xbf" + row + b"\r\n" + row + b"\r\n",
        "a.json": b"\xef\xbb\xbf[\r\n" + row + b",\r\n" + row + b"]\r\n",
        "a.csv": b"\xef\xbb\xbfprompt,target\r\np,t\r\np,t\r\n",
        "a.tsv": b"\xef\xbb\xbfprompt\ttarget\r\np\tt\r\np\tt\r\n",
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert [(r.prompt, r.target) for r in read_records(path)] == [("p", "t")] * 2, name


def test_line_numbers_count_blank_lines_and_line_breaks_in_cells(tmp_path: Path) -> None:
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text('\n{"prompt": "p", "target": "t"}\n\n{"prompt": "q", "target": "t"}\n')
    assert [r.line for r in read_records(jsonl)] == [2, 4]
    table = tmp_path / "a.csv"
    table.write_text('prompt,target\n"two\nlines",t\nq,t\n')
    assert [(r.prompt, r.line) for r in read_records(table)] == [("two\nlines", 2), ("q", 4)]


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
filled = text.filter(lambda value: bool(value.strip()))
probes = st.lists(
    st.builds(Probe, filled, st.none() | filled, st.just("") | filled), max_size=2
).map(tuple)
texts = st.lists(filled, max_size=3).map(tuple)
records = st.builds(
    Record,
    prompt=filled,
    target=filled,
    id=filled,
    subject=st.none() | filled,
    rephrases=texts,
    locality=probes,
    personas=texts,
    portability=probes,
    old=st.none() | filled,
)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(records, min_size=1, max_size=4))
def test_writing_and_reading_gives_the_records_back(
    tmp_path: Path, ending: str, wanted: list[Record]
) -> None:
    rows = [plain_row(record) for record in wanted]
    if ending == ".parquet":
        names = list(dict.fromkeys(name for row in rows for name in row))
        rows = [{name: row.get(name) for name in names} for row in rows]
    found = list(read_records(write(tmp_path, ending, rows)))
    assert [plain_row(r) for r in found] == [plain_row(r) for r in wanted]


@settings(max_examples=50, deadline=None)
@given(st.lists(records, max_size=4))
def test_memory_round_trip(wanted: list[Record]) -> None:
    found = list(read_records([plain_row(record) for record in wanted]))
    assert [plain_row(r) for r in found] == [plain_row(r) for r in wanted]


def test_a_folder_with_its_shards_in_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for shard in range(2):
        rows = [{"prompt": f"q{shard}{n}?", "target": f"a{shard}{n}"} for n in range(3)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"part-{shard}.parquet")
    assert [r.target for r in read_records(tmp_path)] == [
        f"a{shard}{n}" for shard in range(2) for n in range(3)
    ]
