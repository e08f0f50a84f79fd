"""Every input form is told by its content and read into the same triples."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from tests_graph import write_jsonl
from ultraedit.errors import DataError
from ultraeditbench.sources import read, sniff
from ultraeditbench.statements import Label, Triple


def rows(path: Path) -> list[Triple | Label]:
    return list(read(sniff(path)))


PLAIN = Triple(None, "Ada Quill", "P19", None, "Grenby")


def test_table_with_header_gzipped_or_not(tmp_path: Path) -> None:
    text = "subject\trelation\tobject\nAda Quill\tP19\tGrenby\n"
    plain, packed = tmp_path / "a.tsv", tmp_path / "no-ending"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    assert rows(plain) == rows(packed) == [PLAIN]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('head,relation,tail\n"Quill, Ada",P19,Grenby\n', encoding="utf-8")
    assert rows(path) == [Triple(None, "Quill, Ada", "P19", None, "Grenby")]


def test_ids_and_labels_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(
        "subject_id\trelation_id\tobject_id\tsubject\trelation\tobject\nQ1\tP19\tQ2\tAda\tborn\tGrenby\n",
        encoding="utf-8",
    )
    assert rows(path) == [Triple("Q1", "Ada", "P19", "Q2", "Grenby")]


def test_json_lines_with_lists_and_chosen_labels(tmp_path: Path) -> None:
    body = [
        {"sub_label": "Ada", "obj_label": ["Grenby", "Halby"], "relation": "P19"},
        {
            "sub_label": "Bo",
            "obj_label": [{"chosen": "Nerby", "alternative": ["N"]}],
            "relation": "P19",
        },
    ]
    found = rows(write_jsonl(tmp_path / "a.jsonl", body))
    assert [(t.subject, t.object) for t in found if isinstance(t, Triple)] == [
        ("Ada", "Grenby"), ("Ada", "Halby"), ("Bo", "Nerby"),
    ]  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"subjectLabel": ["Ada Quill"], "relation": ["P19"], "objectLabel": ["Grenby"]}),
        path,
    )
    assert rows(path) == [PLAIN]


def test_facts_with_inverse_properties(tmp_path: Path) -> None:
    body = [
        {"triple": ["Q1", "P19", "Q2"], "answer": "Grenby"},
        {"triple": ["Q2", "-P19", "Q1"], "answer": "Ada"},
    ]
    assert (
        rows(write_jsonl(tmp_path / "facts.jsonl", body))
        == [Triple("Q1", None, "P19", "Q2", None)] * 2
    )


def test_label_maps_and_alias_lines(tmp_path: Path) -> None:
    labels, properties, aliases = tmp_path / "l.json", tmp_path / "p.json", tmp_path / "a.txt"
    labels.write_text(json.dumps({"Q1": "Ada", "P19": "place of birth"}), encoding="utf-8")
    properties.write_text(
        json.dumps({"P19": {"label": "place of birth"}}, indent=1), encoding="utf-8"
    )
    aliases.write_text("Q1\tAda\tAda Quill\nQ2\tGrenby\n", encoding="utf-8")
    assert rows(labels) == [Label("Q1", "Ada"), Label("P19", "place of birth")]
    assert rows(properties) == [Label("P19", "place of birth")]
    assert rows(aliases) == [Label("Q1", "Ada"), Label("Q2", "Grenby")]


def test_tables_without_header(tmp_path: Path) -> None:
    ids, names = tmp_path / "ids", tmp_path / "names"
    ids.write_text("Q1\tP19\tQ2\n", encoding="utf-8")
    names.write_text("Ada_Quill\tborn in\tGrenby\n", encoding="utf-8")
    assert sniff(ids).form == "id-table"
    assert rows(names) == [Triple(None, "Ada Quill", "born in", None, "Grenby")]


def claim(value: dict, rank: str = "normal", start: str | None = None) -> dict:
    made = {"mainsnak": {"snaktype": "value", "datavalue": value}, "rank": rank}
    if start:
        time = {"snaktype": "value", "datavalue": {"type": "time", "value": {"time": start}}}
        made["qualifiers"] = {"P580": [time]}
    return made


def item(number: int) -> dict:
    return {"type": "wikibase-entityid", "value": {"id": f"Q{number}"}}


def test_wikidata_dump_ranks_dates_and_qualifiers(tmp_path: Path) -> None:
    born = {"type": "time", "value": {"time": "+1952-03-11T00:00:00Z", "precision": 11}}
    entity = {
        "type": "item", "id": "Q1", "labels": {"en": {"value": "Ada"}, "de": {"value": "Adda"}},
        "claims": {
            "P19": [claim(item(2)), claim(item(3), "preferred")],
            "P569": [claim(born)],
            "P27": [claim(item(4), "deprecated")],
            "P108": [claim(item(5), start="+1990-00-00T00:00:00Z"),
                     claim(item(6), "preferred", "+2001-05-00T00:00:00Z")],
            "P31": [{"mainsnak": {"snaktype": "somevalue"}, "rank": "normal"}],
            "P9999": [claim(item(7))],
        },
    }  # fmt: skip
    body = (
        "[\n"
        + json.dumps(entity)
        + ",\n"
        + json.dumps({"type": "item", "id": "Q2", "claims": {}})
        + "\n]\n"
    )
    path = tmp_path / "dump.json.bz2"
    path.write_bytes(bz2.compress(body.encode()))
    assert rows(path) == [
        Label("Q1", "Ada"),
        Triple("Q1", None, "P19", "Q3", None),
        Triple("Q1", None, "P569", None, "1952"),
        Triple("Q1", None, "P108", "Q5", None, "1990-00-00"),
        Triple("Q1", None, "P108", "Q6", None, "2001-05-00"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ('{"name": "x", "value": 1}\n', "columns are name, value"),
        ("just a line\n", "'just a line'"),
        ("[1, 2]\n", "no object"),
        ('{"a": \n', "not JSON"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        sniff(path)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"subject": "a", "relation": "b", "object": "c"}\n{"subject": \n', encoding="utf-8"
    )
    with pytest.raises(DataError, match="line 2"):
        rows(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.tsv"):
        sniff(tmp_path / "gone.tsv")
