"""Result files: written whole or not at all, and read back as they were."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from ultraedit.errors import DataError
from ultraedit.evaluation.evaluation import QuestionScores
from ultraedit.evaluation.files import (
    read_result,
    read_scores,
    write_result,
    write_scores,
)
from ultraedit.evaluation.protocol import METRICS
from ultraedit.io.atomic import new_file

from .made import a_result

DOCS = Path(__file__).parents[2] / "docs" / "result-schema.md"


def test_result_comes_back_as_it_was(tmp_path):
    result = a_result()
    write_result(tmp_path / "out" / "result.json", result)
    assert read_result(tmp_path / "out" / "result.json") == result
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["result.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")

    def fail():
        with new_file(path) as made:
            made.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 99}, "this version reads schema_version 1"),
        ({"praise": 1}, "praise: Extra inputs"),
        ({"runs": "none"}, "runs: "),
    ],
)
def test_a_file_that_is_not_a_result_is_refused(tmp_path, change, words):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(a_result().model_dump_json()) | change))
    with pytest.raises(DataError, match=words):
        read_result(path)
    with pytest.raises(DataError, match="cannot read"):
        read_result(tmp_path / "nowhere.json")


def test_scores_come_back_as_they_were(tmp_path):
    rows = [
        QuestionScores("a", 0, 4, "efficacy", "", 0, "Who?", "Ann", 0.5, False, True, -1.5),
        QuestionScores(
            "b", 1, None, "locality", "neighbour", 2, "Where?", None, agreement=True, kl=0.25
        ),
    ]
    path = tmp_path / "scores.parquet"
    write_scores(path, rows, preset="default", order=0, edits=5)
    assert read_scores(path) == rows
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    assert table.column("edits").to_pylist() == [5, 5]
    assert table.column_names == [
        "preset",
        "order",
        "edits",
        *(f.name for f in fields(QuestionScores)),
    ]


def test_scores_that_are_not_are_refused(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_text("no")
    with pytest.raises(DataError, match="cannot read the scores"):
        read_scores(path)


def test_every_field_and_metric_is_documented():
    from ultraedit.evaluation import schema

    text = DOCS.read_text(encoding="utf-8")
    names = set(METRICS)
    for part in (schema.Result, schema.Run, schema.Checkpoint, schema.Pace, schema.ModuleShift):
        names |= set(part.model_fields)
    assert not [n for n in sorted(names) if f"`{n}`" not in text and f".{n}`" not in text]
