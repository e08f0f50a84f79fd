"""Damaged input of every form: read, or one sentence that names the file; never another exception."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultraedit.errors import ConfigError, DataError, UltraEditError
from ultraeditbench import BuildConfig, build
from ultraeditbench.database import WorkDatabase
from ultraeditbench.ingest import load
from ultraeditbench.sources import read, sniff


def jsonl(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CLAIM = {
    "mainsnak": {
        "snaktype": "value",
        "datavalue": {"value": {"id": "Q2"}, "type": "wikibase-entityid"},
    },
    "qualifiers": {
        "P580": [{"snaktype": "value", "datavalue": {"value": {"time": "+1952-03-11T00:00:00Z"}}}]
    },
}
ENTITY = {
    "id": "Q1",
    "type": "item",
    "labels": {"en": {"value": "Ada"}},
    "claims": {"P19": [CLAIM]},
}
FORMS = {
    "rows": jsonl(*[{"subject": f"Ada {i}", "relation": "P19", "object": "Grenby"} for i in range(9)]),
    "kamel": jsonl({"sub_label": "Ada", "obj_label": ["Grenby", {"chosen": "Halby"}], "relation": "P19"}),
    "kgconv": jsonl({"triple": ["Q1", "-P19", "Q2"], "answer": "x"}, {"triple": ["Q1", "P19", "Q2"], "answer": "x"}),
    "label-map": json.dumps({"Q1": "Ada", "Q2": "Grenby"}, indent=1).encode(),
    "property-map": json.dumps({"P19": {"label": "born in"}, "P20": {"label": "died in"}}).encode(),
    "csv": b'subject,relation,object\n"Quill, Ada",P19,Grenby\nBo,P19,Nerby\n',
    "tsv": b"subject\trelation\tobject\nAda\tP19\tGrenby\nBo\tP19\tNerby\n",
    "id-table": b"Q1\tP19\tQ2\nQ3\tP19\tQ4\n",
    "text-table": b"Ada_Quill\tP19\tGrenby\nBo\tP19\tNerby\n",
    "alias-lines": b"Q1\tAda\tAda Quill\nQ2\tGrenby\n",
    "wikidata-dump": b"[\n" + json.dumps(ENTITY).encode() + b",\n" + json.dumps(ENTITY).encode() + b"\n]\n",
}  # fmt: skip


def use(path: Path) -> None:
    try:
        for _ in read(sniff(path)):
            pass
    except DataError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_whole_before_it_is_damaged(form: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FORMS[form])
    assert list(read(sniff(path)))


@settings(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    form=st.sampled_from(sorted(FORMS)),
    at=st.floats(0, 1, exclude_max=True),
    change=st.sampled_from(["cut", "byte", "insert", "double"]),
    data=st.binary(min_size=1, max_size=6),
)
def test_changed_bytes_are_read_or_a_sentence(
    tmp_path: Path, form: str, at: float, change: str, data: bytes
) -> None:
    whole = FORMS[form]
    i = int(at * len(whole))
    changed = {
        "cut": whole[:i],
        "byte": whole[:i] + data[:1] + whole[i + 1 :],
        "insert": whole[:i] + data + whole[i:],
        "double": whole[:i] + whole,
    }[change]
    (tmp_path / "file").write_bytes(changed)
    use(tmp_path / "file")


WRONG = (None, 3, 1.5, True, "x", [], ["x"], {}, {"a": 1}, [[1]], "\ud800")


def wrong_rows() -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    first = {f: json.loads(FORMS[f].split(b"\n")[0]) for f in ("rows", "kamel", "kgconv")}
    for form, row in first.items():
        for key in row:
            found += [(form, FORMS[form] + jsonl(row | {key: value})) for value in WRONG]
        found += [(form, FORMS[form] + jsonl(value)) for value in WRONG]
    for value in WRONG:
        for bad in (
            ENTITY | {"labels": value},
            ENTITY | {"claims": value},
            ENTITY | {"claims": {"P19": value}},
            ENTITY | {"claims": {"P19": [value]}},
            ENTITY | {"claims": {"P19": [CLAIM | {"mainsnak": value}]}},
            ENTITY | {"claims": {"P19": [CLAIM | {"qualifiers": value}]}},
            ENTITY | {"id": value},
            value,
        ):
            found.append(("wikidata-dump", b"[\n" + json.dumps(bad).encode() + b"\n]\n"))
        found.append(("label-map", json.dumps({"Q1": value}).encode()))
        found.append(("property-map", json.dumps({"P1": {"label": "x"}, "P2": value}).encode()))
        found.append(("property-map", json.dumps({"P1": {"label": value}}).encode()))
    return found


def test_values_of_wrong_kinds_are_taken_in_or_a_sentence(tmp_path: Path) -> None:
    """Into the database too, which knows only texts."""
    rows = wrong_rows()
    assert len(rows) > 200
    path = tmp_path / "file"
    config = BuildConfig((path,), tmp_path / "out")
    path.write_bytes(b"")
    db = WorkDatabase(tmp_path / "work", config)
    for _, data in rows:
        path.write_bytes(data)
        use(path)
        db.con.begin()
        try:
            load(db, [path], lambda _: None)
        except DataError as error:
            assert "\n" not in str(error)
        db.con.rollback()
    db.close()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
@pytest.mark.parametrize("form", FORMS)
def test_packed_files_that_end_early_or_are_damaged(tmp_path: Path, form: str, pack) -> None:
    path = tmp_path / "file"
    whole = pack(FORMS[form] * 50)
    for k in range(1, 16):
        path.write_bytes(whole[: len(whole) * k // 16])
        use(path)
        damaged = bytearray(whole)
        damaged[len(whole) * k // 16] ^= 0xFF
        path.write_bytes(bytes(damaged))
        use(path)


def test_a_truncated_gzip_is_a_sentence_on_the_command_line(tmp_path: Path) -> None:
    """click takes an EOFError for the user's wish to stop, and says "Aborted!"."""
    path = tmp_path / "triples.tsv.gz"
    whole = gzip.compress(os.urandom(50_000).hex().encode() + FORMS["tsv"])
    path.write_bytes(whole[:-9])
    command = ["build", "--triples", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "ultraedit", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"error: '{path}' is packed and ends early; get the whole file again.\n"


def test_long_cells_are_read_and_a_file_in_one_cell_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "file"
    long = "x" * 200_000
    path.write_text(f"subject,relation,object,article\nAda,P19,Grenby,{long}\n")
    before = csv.field_size_limit()
    csv.field_size_limit(131_072)
    try:
        assert [t.subject for t in read(sniff(path))] == ["Ada"]  # type: ignore[union-attr]
    finally:
        csv.field_size_limit(before)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(DataError, match="is a pipe or device"):
            sniff(path)
    with pytest.raises(DataError, match="is a folder"):
        sniff(tmp_path)


@pytest.mark.parametrize("out", ["/proc/build", "/dev/null/build"])
def test_an_output_that_cannot_be_written_is_told_first(tmp_path: Path, out: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(FORMS["tsv"])
    with pytest.raises(UltraEditError, match="cannot be written"):
        build(BuildConfig((path,), Path(out)), Quiet())
    with pytest.raises(DataError, match="is a file"):
        build(BuildConfig((path,), path), Quiet())


def test_an_amount_of_memory_that_is_none_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(FORMS["tsv"])
    with pytest.raises(ConfigError, match="--memory 'much' cannot be used"):
        build(BuildConfig((path,), tmp_path / "out", memory="much"), Quiet())


class Quiet:
    def stage(self, text: str) -> None: ...
    def records(self, done: int, total: int) -> None: ...
