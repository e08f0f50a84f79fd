"""The notebooks of docs/ run from the first cell to the last, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
from docs.notebook import code_cells, run

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in; notebooks find the tiny model and a small number of edits."""
    model = tmp_path / "model"
    tiny.llama(max_position_embeddings=512).save_pretrained(model)
    tiny.tokenizer(chat=True).save_pretrained(model)
    monkeypatch.setenv("ULTRAEDIT_MODEL", str(model))
    monkeypatch.setenv("ULTRAEDIT_EDITS", "37")
    monkeypatch.setattr("ultraedit.data.bundled.anchor_text", lambda: tiny.TEXT)
    requests = tiny.few_requests(tmp_path)
    monkeypatch.setattr("ultraedit.data.bundled.requests_path", lambda: requests)
    monkeypatch.setattr("ultraedit.model.dtype.fastest_dtype", lambda device: torch.float32)
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_there_are_five() -> None:
    assert [n.stem for n in NOTEBOOKS] == [
        "01_first_edit",
        "02_your_csv",
        "03_ten_thousand_edits",
        "04_undo_and_audit",
        "05_export",
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_the_model_is_the_readers_choice(notebook: Path) -> None:
    """Every notebook that loads a model takes its name from the environment, and no cell holds a magic."""
    cells = code_cells(notebook)
    assert 'os.environ.get("ULTRAEDIT_MODEL", "smollm2")' in "\n".join(cells)
    assert not [line for cell in cells for line in cell.splitlines() if line[:1] in ("%", "!")]


def test_first_edit(somewhere: Path) -> None:
    said = run(NOTEBOOKS[0])
    assert 'p("Ida Krol")' in said[1]
    unedited = said[0]
    assert said[3] == unedited, "inside disable_edits() the model answers as before the edit"
    assert said[-1] == unedited, "after reset() the model answers as before the edit"
    assert (somewhere / "edited-model" / "config.json").exists()


def test_your_csv() -> None:
    said = run(NOTEBOOKS[1])
    assert "2 Who runs Orvane Foods? -> Ida Krol ('Orvane Foods is run by',)" in said[1]
    assert "refused: 'broken.csv', line 2" in said[1]
    assert "EditSummary(edits=3," in said[2]
    assert said[3].count("unrelated:") == 3


def test_ten_thousand_edits() -> None:
    said = run(NOTEBOOKS[2])
    assert "EditSummary(edits=37," in said[1], "the last, partial turn is edited too"
    assert said[2].count("free answers are the target") == 4


def test_undo_and_audit() -> None:
    said = run(NOTEBOOKS[3])
    assert said[0].startswith("turn 1 health ")
    assert "#3 turn 2 mistake: Bo Lindgren (current)" in said[2]
    assert "exact to the bit" in said[3] and "#3 turn 2 mistake: Bo Lindgren (undone)" in said[3]
    checked = said[1].partition("as checked: ")[2]
    undone = said[3].partition("exact to the bit.\n")[2].partition("#1 ")[0]
    assert undone == checked, "undo brought the marked state's answer back"
    assert "orvane: Ida Krol (undone)" in said[4] and "aster: Port Sallow (current)" in said[4]
    assert said[5].startswith("sound")


def test_export(somewhere: Path) -> None:
    said = run(NOTEBOOKS[4])
    assert said[2] == "all weights agree\n"
    assert "rank " in said[3]
    assert (somewhere / "exports" / "card.md").read_text()[:600] in said[4]
