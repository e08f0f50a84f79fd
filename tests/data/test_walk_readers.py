"""Files of facts broken in every way that dice can think of: read, counted, or refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import json
import random
from pathlib import Path

import pytest
from form_samples import SAMPLES

from nonsense import Walk, objects, shown
from ultraedit.data import read_records
from ultraedit.data.validate import validate

ROWS = [
    {"prompt": "Who wrote it?", "target": "Ann", "rephrases": ["By whom?"], "id": "a"},
    {"prompt": "谁是市长?", "target": "甲", "locality": [{"prompt": "x?", "answer": "y"}]},
    {"prompt": "Who sang it?", "target": "Bo", "subject": "it", "old": "Cy"},
]
ZSRE = {
    "subject": "a",
    "src": "Who?",
    "rephrase": "Who then?",
    "alt": "Ann",
    "loc": "x",
    "loc_ans": "y",
}
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".ndjson", ".parquet", ".jsonl.gz", ".csv.gz", ".txt")


def good(ending: str) -> bytes:
    kind = ending.removesuffix(".gz")
    if kind in (".csv", ".tsv"):
        comma = "," if kind == ".csv" else "\t"
        text = comma.join(("prompt", "target", "rephrases")) + "\n"
        text += "".join(f'"{r["prompt"]}"{comma}{r["target"]}{comma}\n' for r in ROWS)
    elif kind == ".json":
        text = json.dumps(ROWS)
    else:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*ROWS, ZSRE])
    data = text.encode()
    return gzip.compress(data, mtime=0) if ending.endswith(".gz") else data


def damaged(data: bytes, dice: random.Random) -> bytes:
    """One to three wounds: bytes changed, cut, doubled, or put where none belong."""
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(data) + 1)
        wound = dice.randrange(8)
        if wound == 0:
            data = data[:at]
        elif wound == 1:
            data = data[:at] + bytes(dice.randrange(256) for _ in range(4)) + data[at:]
        elif wound == 2:
            data = data[:at] + data[at + dice.randint(1, 9) :]
        elif wound == 3:
            data = data.replace(
                *dice.choice(((b'"', b""), (b":", b","), (b"{", b"["), (b"\n", b"\r"))), 1
            )
        elif wound == 4:
            data = data.replace(
                *dice.choice(((b"Ann", b'", 5, "'), (b"prompt", b"Prompt"), (b"target", b"")))
            )
        elif wound == 5:
            data = dice.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0", b"[", b"PAR1")) + data
        elif wound == 6:
            data = data.replace(b"Ann", dice.choice((b"\\ud800", b"\\u0000", b"a" * 200_000, b"")))
        else:
            data = data + data[: at // 2]
    return data


def test_damaged_files(tmp_path: Path) -> None:
    dice, walk = random.Random(0), Walk()
    for number in range(500):
        ending = dice.choice(ENDINGS)
        file = tmp_path / f"{number}{ending}"
        file.write_bytes(damaged(good(ending), dice))
        walk.call(f"strict {file.name}", lambda f=file: read_records(f))
        walk.call(f"counting {file.name}", lambda f=file: validate(f))
        file.unlink()
    walk.judge(at_least=1000)
    assert walk.outcomes["done"] > 50, "most wounds let nothing through"


def test_what_is_passed_to_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    walk = Walk()
    for value in objects():
        walk.call(f"source {shown(value)}", lambda v=value: read_records(v))
        walk.call(f"form {shown(value)}", lambda v=value: read_records(ROWS, form=v))
        walk.call(f"report {shown(value)}", lambda v=value: read_records(ROWS, report=v))
        walk.call(f"validate {shown(value)}", lambda v=value: validate(v))
        walk.call(f"item {shown(value)}", lambda v=value: read_records([v]))
        for column in ("prompt", "target", "id", "rephrases", "locality", "subject", "old"):
            row = ROWS[1] | {column: value}
            walk.call(f"{column} {shown(value)}", lambda r=row: read_records([r]))
            walk.call(f"{column} counted", lambda r=row: read_records([r], strict=False))
    walk.judge(at_least=1000)


def test_values_of_published_forms() -> None:
    """Every column of every form, given every kind of JSON value."""
    walk = Walk()
    for name, (sample, _) in SAMPLES.items():
        for column in sample:
            for value in (
                None,
                True,
                5,
                1.5,
                "",
                " ",
                "x",
                "[",
                [],
                [1],
                ["a"],
                [[]],
                {},
                {"a": 1},
            ):
                row = sample | {column: value}
                walk.call(f"{name} {column} = {value!r}", lambda r=row: read_records([r]))
    walk.judge(at_least=1000)


@pytest.mark.parametrize("made", ["folder", "link to nowhere", "link to itself", "fifo of nothing"])
def test_what_is_no_file(made: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    if made == "folder":
        path.mkdir()
    elif made == "fifo of nothing":
        path.write_bytes(b"")
    else:
        path.symlink_to(path if made == "link to itself" else tmp_path / "gone")
    walk = Walk()
    walk.call(made, lambda: read_records(path))
    walk.judge(at_least=1)
    assert walk.outcomes["refused"] == 1


def test_a_compressed_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl.gz"
    file.write_bytes(bz2.compress(good(".jsonl")))
    walk = Walk()
    walk.call("bz2 as gz", lambda: read_records(file))
    walk.judge(at_least=1)
    assert walk.outcomes["refused"] == 1
