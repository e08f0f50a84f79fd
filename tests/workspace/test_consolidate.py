"""Consolidation finds what the model has lost, writes that again, and takes back what wins nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError, WorkspaceError
from ultraedit.workspace import changes, consolidate
from ultraedit.workspace.config import HealthConfig, Thresholds
from ultraedit.workspace.consolidate import lost_edits
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made

CROWDED = {
    "preset": "default",
    "step": 0.5,
    "steps": 20,
    "text_weight": 1.0,
    "modules": "*mlp.down_proj",
    "health": HealthConfig(
        canary_tokens=0, reservoir_every=0, shift_ratio=Thresholds(amber=9.0, red=9.0)
    ),
}
"""The tiny model learns one turn of four facts whole, and loses most of them to two more."""


def said(workspace: Workspace, record: Record) -> bool:
    """By generation: whether the model answers with the target and stops."""
    return workspace.ask(record.prompt).edited == record.target


def crowded(folder: Path) -> Workspace:
    """Three turns of which later ones take room from earlier ones."""
    workspace = made.make(folder, **CROWDED)
    for turn in range(3):
        workspace.edit_turn(made.records(4 * turn, 4 * turn + 4))
    return workspace


def test_what_is_lost_is_what_the_model_no_longer_says(tmp_path: Path) -> None:
    workspace = crowded(tmp_path)
    records = workspace.history.in_force()
    lost = lost_edits(workspace.editor, records)
    assert 0 < len(lost) < len(records)
    by_asking = [r for r in records if not said(workspace, r)]
    assert lost == by_asking


def test_lost_edits_are_written_again_and_counted(tmp_path: Path) -> None:
    workspace = crowded(tmp_path)
    before = len(lost_edits(workspace.editor, workspace.history.in_force()))
    first, *more = consolidate.consolidate(workspace)
    assert (first.number, first.asked, first.lost) == (1, 12, before)
    assert first.still_lost < before
    last = [first, *more][-1]
    left = lost_edits(workspace.editor, workspace.history.in_force())
    assert last.still_lost == len(left)
    assert last.turn == workspace.head
    assert len(workspace.history.in_force()) == 12, "an edit written again is one edit"
    assert verify(tmp_path / "ws").sound
    changes.rollback(workspace, "3")
    assert len(lost_edits(workspace.editor, workspace.history.in_force())) == before


def test_a_round_that_wins_nothing_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = crowded(tmp_path)
    shifts = [w.shift.clone() for w in workspace.editor.weights]
    lost = workspace.history.in_force()[:2]
    monkeypatch.setattr(consolidate, "lost_edits", lambda *_: lost)
    (only,) = consolidate.consolidate(workspace)
    assert only.taken_back
    assert only.still_lost == only.lost == 2
    assert workspace.head == only.turn == 3
    for w, shift in zip(workspace.editor.weights, shifts, strict=True):
        assert w.shift.equal(shift)
    assert "taken back" in str(only)


def test_rounds_and_minutes_are_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = crowded(tmp_path)
    lost = [workspace.history.in_force()[:k] for k in (6, 5, 4, 3)]
    monkeypatch.setattr(consolidate, "lost_edits", lambda *_: lost.pop(0))
    assert len(list(consolidate.consolidate(workspace, rounds=2))) == 2
    monkeypatch.undo()
    clock = iter([0.0, 61.0, 61.0, 61.0])
    monkeypatch.setattr(consolidate.time, "monotonic", lambda: next(clock))
    assert list(consolidate.consolidate(workspace, minutes=1.0)) == []


def test_nothing_lost_writes_nothing(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, **CROWDED)
    workspace.edit_turn(made.records(0, 2))
    assert lost_edits(workspace.editor, workspace.history.in_force()) == []
    assert list(consolidate.consolidate(workspace)) == []
    assert workspace.head == 1


def test_a_round_that_turned_the_model_amber_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = crowded(tmp_path)
    lost = [workspace.history.in_force()[:k] for k in (6, 5, 4, 3)]
    monkeypatch.setattr(consolidate, "lost_edits", lambda *_: lost.pop(0))
    written = workspace.edit_turn

    def amber(records: list[Record]) -> object:
        done = written(records)
        return replace(done, health=done.health.model_copy(update={"level": "amber"}))

    monkeypatch.setattr(workspace, "edit_turn", amber)
    (only,) = consolidate.consolidate(workspace)
    assert only.health is not None and only.health.level == "amber"


def test_bad_arguments_and_readers_are_refused(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    with pytest.raises(ConfigError, match="rounds is 0"):
        consolidate.consolidate(workspace, rounds=0)
    with pytest.raises(ConfigError, match="minutes"):
        consolidate.consolidate(workspace, minutes="soon")  # type: ignore[arg-type]
    workspace.close()
    reader = Workspace.open(tmp_path / "ws", loaded=made.loaded())
    with pytest.raises(WorkspaceError):
        consolidate.consolidate(reader)


def test_edits_beside_the_model_are_not_lost(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, preset="retrieval", step=None)
    with pytest.raises(WorkspaceError, match="nothing to consolidate"):
        consolidate.consolidate(workspace)


def test_own_sentences_are_what_is_asked_for(tmp_path: Path) -> None:
    """An answer in the model's own words is lost when its sentence is, whatever the bare target does."""
    workspace = made.make(tmp_path, **CROWDED)
    prompt, target = tiny.FACTS[0]
    sentence = f"They say {target}."
    (record,) = workspace.editor.prepare([Record(prompt, target)])
    workspace.edit_turn([record])
    assert lost_edits(workspace.editor, [record]) == []
    told = replace(record, sentences=(sentence,))
    assert lost_edits(workspace.editor, [told]) == [told]
