"""Every method runs in a workspace: edited, asked, opened again, taken back, asked as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from ultraedit import PRESETS, ConfigError, DataError, Editor, WorkspaceError
from ultraedit.methods.presets import method
from ultraedit.settings import EditSettings
from ultraedit.workspace import changes
from ultraedit.workspace.marks import set_mark
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made

SUBJECTS = ["Vell", "Tasp", "Bram", "Quill", "Sarn", "Kest"]
RECORDS = [replace(r, subject=s) for r, s in zip(made.records(0, 6), SUBJECTS, strict=True)]
SETTINGS: dict[str, dict[str, float]] = {
    "paper": {"step": 1e-4},
    "stableedit": {"step": 1e-4},
    "finetune": {"rate": 3e-3, "epochs": 6, "batch": 4},
    "lora": {"rate": 3e-2, "epochs": 6, "batch": 4, "rank": 8},
    "memit": {"weight": 0.01, "value_clamp": 10.0, "contexts": 0},
    "alphaedit": {"null": 2.0, "value_clamp": 10.0, "ridge": 0.01, "contexts": 0},
}
QUESTION = "The capital of Vell is"


def filled(folder: Path, name: str) -> Workspace:
    workspace = made.make(folder, preset=method(name, **SETTINGS.get(name, {})), step=None)
    workspace.edit_turn(RECORDS[:3])
    set_mark(workspace.store, "three")
    workspace.edit_turn(RECORDS[3:])
    return workspace


@pytest.mark.parametrize("name", PRESETS)
def test_it_lives_in_a_workspace(name: str, tmp_path: Path) -> None:
    workspace = filled(tmp_path, name)
    said = workspace.ask(QUESTION, max_new_tokens=4).edited
    with workspace.at("three"):
        earlier = {w.name: w.shift.clone() for w in workspace.editor.weights}
        recalled = workspace.editor.recall(QUESTION)
    state = workspace.editor.snapshot()
    workspace = made.reopen(workspace)
    again = workspace.editor.snapshot()
    assert all(again.shifts[n].equal(s) for n, s in state.shifts.items())
    before, after = state.statistics.state_dict(), again.statistics.state_dict()
    assert before.keys() == after.keys()
    assert all(after[n].equal(t) for n, t in before.items())
    assert workspace.editor.method == method(name, **SETTINGS.get(name, {}))
    assert workspace.ask(QUESTION, max_new_tokens=4).edited == said
    changes.rollback(workspace, "three")
    assert all(w.shift.equal(earlier[w.name]) for w in workspace.editor.weights)
    assert workspace.editor.recall(QUESTION) == recalled
    # what comes next is what would have come
    receipts = workspace.edit_turn(RECORDS[3:]).receipts
    assert len(receipts) == 3
    assert all(w.shift.allclose(state.shifts[w.name], atol=1e-5) for w in workspace.editor.weights)
    workspace.close()
    assert verify(workspace.store.folder).sound


@pytest.mark.parametrize("name", ["finetune", "lora", "memit", "alphaedit"])
def test_its_receipts_say_what_it_learned(name: str) -> None:
    """Weights large enough for attention to carry something from the subject to the answer."""
    editor = Editor(
        tiny.llama(initializer_range=0.3),
        tiny.tokenizer(),
        EditSettings(
            preset=method(name, **SETTINGS[name]),
            modules="model.layers.0.mlp.down_proj",
            text=tiny.TEXT,
            form="raw",
        ),
    )
    receipts = editor.edit_turn(RECORDS).receipts
    better = [r.probability_after > r.probability_before for r in receipts]
    assert sum(better) >= 4
    assert max(receipts[0].moved.values()) > 0


def test_retrieval_keeps_its_edits_beside_the_model(tmp_path: Path) -> None:
    workspace = filled(tmp_path, "retrieval")
    editor = workspace.editor
    assert editor.recall(QUESTION).endswith(f"{QUESTION} Oruna\n{QUESTION}")
    assert "Lund" not in editor.recall("Bram was") or "Bram was born in Lund" in editor.recall(
        "Bram was"
    )
    with workspace.at("base"):
        assert editor.recall(QUESTION) == QUESTION
    with editor.disable_edits():
        assert editor.recall(QUESTION) == QUESTION
    assert all(not w.shift.any() for w in editor.weights)
    with pytest.raises(ConfigError, match='"retrieval" keeps its edits beside the model'):
        editor.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("name", ["finetune", "retrieval"])
def test_what_has_no_low_rank_updates_cannot_be_subtracted(name: str, tmp_path: Path) -> None:
    workspace = filled(tmp_path, name)
    edit = workspace.history.find_current("#2")
    with pytest.raises(WorkspaceError, match=f'"{name}" writes no low-rank updates'):
        changes.subtract(workspace, edit)
    changes.replay(workspace, edit)
    assert 2 not in workspace.history.statuses()


def test_replay_of_a_located_edit_is_refused_whole(tmp_path: Path) -> None:
    """The journal keeps no subjects."""
    workspace = filled(tmp_path, "memit")
    state = workspace.editor.snapshot()
    with pytest.raises(DataError, match="has no subject, and memit needs one"):
        changes.replay(workspace, workspace.history.find_current("#2"))
    assert workspace.head == 2
    assert all(w.shift.equal(state.shifts[w.name]) for w in workspace.editor.weights)


@pytest.mark.parametrize("name", ["finetune", "memit", "retrieval"])
def test_a_method_is_a_preset_of_an_editor_too(name: str) -> None:
    how = method(name, **SETTINGS.get(name, {}))
    editor = Editor(
        tiny.llama(), tiny.tokenizer(), EditSettings(preset=how, text=tiny.TEXT, form="raw")
    )
    before = editor.ask(QUESTION, max_new_tokens=4).edited
    editor.edit_turn(RECORDS)
    assert editor.ask(QUESTION, compare=True, max_new_tokens=4).original == before
    editor.reset()
    assert editor.ask(QUESTION, max_new_tokens=4).edited == before
