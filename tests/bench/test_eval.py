from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.evaluation.files import read_result, read_scores
from ultraedit.settings import EditSettings

from .conftest import cli, fact


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> tuple[Path, Path]:
    """A model with the first 8 of 18 facts edited in and saved, and the file of facts."""
    folder = tmp_path_factory.mktemp("edited")
    data = folder / "facts.jsonl"
    facts = [fact(i) for i in range(18)]
    data.write_text("".join(json.dumps(f) + "\n" for f in facts), encoding="utf-8")
    editor = Editor.from_pretrained(
        model_folder, EditSettings(form="raw", step=3.0, text_weight=0.0), dtype="float32"
    )
    editor.edit_turn(
        [Record(str(f["prompt"]), str(f["target"]), id=str(f["id"])) for f in facts[:8]]
    )
    editor.save_pretrained(folder / "model")
    return folder / "model", data


def test_scores_beside_the_base_that_the_folder_names(edited, tmp_path, capsys):
    model, data = edited
    out = tmp_path / "out"
    base = ("eval", model, "--data", data, "--edits", 8, "--generate", 4)
    assert cli(*base, "--out", out, "--json", "--require", "efficacy.token_accuracy=0.3") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert list(rows) == ["unedited", "model"]
    metric = "efficacy.token_accuracy"
    assert rows["model"][metric]["value"] > rows["unedited"][metric]["value"] + 0.2
    result = read_result(out / "result.json")
    assert result.kind == "eval"
    assert result.data.edits == 8
    assert result.protocol.form == "raw"
    assert len(read_scores(out / "scores" / "edited.parquet")) == 8 * 3
    assert (out / "report.html").stat().st_size > 1000


def test_the_base_against_itself_is_the_same_model(edited, model_folder, capsys):
    code = cli("eval", model_folder, "--base", model_folder, "--data", edited[1], "--edits", 4,
               "--form", "raw", "--generate", 2, "--json")  # fmt: skip
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert code == 0
    assert rows["tiny"]["locality.agreement"]["value"] == 1.0
    assert rows["tiny"]["locality.kl"]["value"] == 0.0
    assert rows["tiny"]["drift.perplexity_ratio"]["value"] == 1.0


def test_without_a_base(model_folder, edited, capsys):
    assert cli("eval", model_folder, "--data", edited[1]) == 2
    assert "name it with --base" in capsys.readouterr().err


def test_a_missed_requirement_is_exit_code_1(model_folder, edited, capsys):
    code = cli("eval", edited[0], "--data", edited[1], "--edits", 4, "--generate", 0,
               "--require", "locality.kl=0")  # fmt: skip
    assert code == 1
    assert "above the required 0" in capsys.readouterr().err
