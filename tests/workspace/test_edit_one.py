"""One fact written into a workspace: the receipt an editor gives, once it is safe on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from ultraedit.editing.editor import Editor
from ultraedit.editing.outcome import WrittenTurn
from ultraedit.errors import DataError, WorkspaceError
from ultraedit.settings import EditSettings
from ultraedit.workspace.changes import undo
from ultraedit.workspace.config import HealthConfig, Thresholds

from . import made

RED = HealthConfig(policy="rollback", shift_ratio=Thresholds(amber=0.0, red=1e-9))


@pytest.mark.parametrize(("preset", "step"), [("thorough", 4.0), ("fast", 0.5)])
def test_the_receipt_is_the_one_an_editor_gives(tmp_path: Path, preset: str, step: float) -> None:
    workspace = made.make(tmp_path, preset=preset, step=step)
    editor = Editor(*made.loaded(), EditSettings(preset, step=step, text=tiny.TEXT))
    for prompt, target in tiny.FACTS[:2]:
        here = workspace.edit(prompt, target, rephrases="Say: " + prompt)
        there = editor.edit(prompt, target, rephrases=["Say: " + prompt])
        assert replace(here, seconds=0.0) == replace(there, seconds=0.0)
        assert here.before is not None and here.after == workspace.ask(prompt).edited
    assert here.id == "edit-2" and here.learned == (preset == "thorough")
    row = workspace.store.journal.turns[here.turn]
    assert workspace.head == here.turn == 2 and row.with_rephrases
    with pytest.raises(DataError, match="must be a text"):
        workspace.edit("Who?", 3)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the edit_id must be a text"):
        workspace.edit("Who?", "Ann", edit_id=torch.zeros(2))  # type: ignore[arg-type]
    assert workspace.head == 2


def test_a_turn_that_was_gone_back_from_is_asked_as_the_model_is_now(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, preset="thorough", step=4.0, health=RED)
    prompt, target = tiny.FACTS[0]
    before = workspace.ask(prompt).edited
    receipt = workspace.edit(prompt, target, edit_id="mine")
    assert receipt.id == "mine" and receipt.learned and workspace.head == 0
    assert receipt.after == before != target


def test_every_turn_is_one_kind_of_thing(tmp_path: Path) -> None:
    """In the journal's count, which goes on where an undone turn has left a gap."""
    workspace = made.make(tmp_path)
    done = workspace.edit_turn(made.records(0, 3))
    assert isinstance(done, WrittenTurn) and done.in_force
    assert done.turn == 1 and {r.turn for r in done.receipts} == {1}
    undo(workspace, 3)
    again = workspace.edit_turn(made.records(3, 6))
    assert again.turn == workspace.head == 2 and {r.turn for r in again.receipts} == {2}


def test_a_reader_may_not_write(tmp_path: Path) -> None:
    workspace = made.reopen(made.make(tmp_path), write=False)
    with pytest.raises(WorkspaceError, match="opened for reading"):
        workspace.edit(*tiny.FACTS[0])
