"""Undo, rollback, replay and time travel are exact to the bit; subtraction is not, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from ultraedit.data.record import Record
from ultraedit.errors import WorkspaceError
from ultraedit.workspace import changes, tensors
from ultraedit.workspace.difference import difference
from ultraedit.workspace.marks import delete_mark, set_mark
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made


def bits(workspace: Workspace) -> tuple[Any, ...]:
    """Digests of the live weights, the shifts and the statistics."""
    return (
        tensors.live_digest(workspace.editor.weights),
        *tensors.state_digests(workspace.editor.snapshot()),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("preset", ["fast", "thorough", "paper"])
def test_undoing_everything_gives_the_base(tmp_path: Path, dtype: torch.dtype, preset: str) -> None:
    workspace = made.make(
        tmp_path,
        preset=preset,
        step=1e-3 if preset == "paper" else 0.5,
        loaded=(tiny.llama(dtype), tiny.tokenizer()),
    )
    seen = {0: bits(workspace)}
    for turn in range(1, 4):
        workspace.edit_turn(made.records(3 * turn, 3 * turn + 3))
        seen[turn] = bits(workspace)
    assert len(set(map(str, seen.values()))) == 4
    for turn in (2, 1, 0):
        change = changes.undo(workspace, 3)
        assert (change.head, change.exact) == (turn, True)
        assert bits(workspace) == seen[turn]
    weights = workspace.editor.weights
    assert tensors.live_digest(weights) == workspace.store.config.base.edited_sha256


def test_undo_needs_no_model_where_the_state_is_kept(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 3)
    workspace.close()
    with Workspace.open(tmp_path / "ws", write=True, base="nowhere") as closed:
        assert changes.undo(closed, 6).head == 1


def test_beyond_the_window_turns_are_edited_again_and_checked(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, undo_window=1)
    seen = []
    for turn in range(4):
        workspace.edit_turn(made.records(3 * turn, 3 * turn + 3))
        seen.append(bits(workspace))
    assert workspace.store.journal.states == {3, 4}
    assert workspace.store.journal.pairs == {4}
    change = changes.undo(workspace, 6)
    assert (change.head, change.rewritten) == (2, 2)
    assert bits(workspace) == seen[1]
    assert verify(tmp_path / "ws").sound
    workspace = made.reopen(workspace)
    assert bits(workspace) == seen[1]


def test_other_bits_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = made.make(tmp_path, undo_window=0)
    made.fill(workspace, 3)
    before = bits(workspace)
    real = workspace.write

    def elsewhere(records: list[Record], with_rephrases: bool) -> Any:
        written = real(records, with_rephrases)
        weight = workspace.editor.weights[0]
        weight.set_shift(weight.shift * (1 + 2**-20))
        return written

    monkeypatch.setattr(workspace, "write", elsewhere)
    with pytest.raises(
        WorkspaceError, match=r"turn 1 is out of the undo window .* nothing was changed"
    ):
        changes.undo(workspace, 3)
    assert workspace.head == 3
    assert bits(workspace) == before


def test_undo_inside_a_turn_writes_its_first_edits_again(tmp_path: Path) -> None:
    expected = made.make(tmp_path / "expected")
    made.fill(expected, 1)
    expected.edit_turn(made.records(3, 5))
    workspace = made.make(tmp_path / "undone")
    made.fill(workspace, 2)
    change = changes.undo(workspace, 1)
    assert "first 2 edits were written again as turn 3" in str(change)
    assert bits(workspace) == bits(expected)
    assert [e.again_of for e in workspace.store.journal.rows(3)] == [4, 5]
    assert sorted(workspace.history.statuses()) == [1, 2, 3, 7, 8]


def test_undo_refuses_more_edits_than_there_are(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 1)
    for count in (0, 4):
        with pytest.raises(WorkspaceError, match=f"there are 3 edits to undo, not {count}"):
            changes.undo(workspace, count)


def test_replay_gives_the_model_that_never_saw_the_edit(tmp_path: Path) -> None:
    expected = made.make(tmp_path / "expected")
    expected.edit_turn(made.records(0, 3))
    expected.edit_turn([made.records()[3], made.records()[5]])
    expected.edit_turn(made.records(6, 9))
    workspace = made.make(tmp_path / "replayed", undo_window=1)
    made.fill(workspace, 3)
    change = changes.replay(workspace, workspace.history.find_edit("#5")[0])
    assert change.exact
    assert bits(workspace) == bits(expected)
    assert [e.prompt for e in workspace.history.edits()] == [
        e.prompt for e in expected.history.edits()
    ]
    assert verify(workspace.store.folder).sound
    assert bits(made.reopen(workspace)) == bits(expected)


def test_replay_of_the_only_edit_gives_the_base(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    start = bits(workspace)
    workspace.edit_turn(made.records(0, 1))
    changes.replay(workspace, workspace.history.find_edit("fact-0")[0])
    assert workspace.head == 0
    assert bits(workspace) == start


def test_subtraction_takes_out_most_of_an_edit_and_little_else(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, step=1.0)
    made.fill(workspace, 1)
    base, full = (
        {n: torch.zeros_like(s) for n, s in workspace.editor.snapshot().shifts.items()},
        None,
    )
    full = workspace.editor.snapshot().shifts
    change = changes.subtract(workspace, workspace.history.find_edit("#2")[0])
    assert not change.exact
    assert "approximate" in str(change)
    first = workspace.editor.snapshot().shifts
    assert all(not first[n].equal(full[n]) for n in full)
    assert workspace.history.statuses()[2].word == "removed"
    for number in ("#1", "#3"):
        changes.subtract(workspace, workspace.history.find_edit(number)[0])
    rest = workspace.editor.snapshot().shifts
    for name in full:  # one step from the base: the three shares are the whole turn
        assert (rest[name] - base[name]).norm() < 1e-5 * full[name].norm()
    assert verify(workspace.store.folder).sound
    with pytest.raises(WorkspaceError, match="edit #2 is not in force"):
        changes.subtract(workspace, workspace.history.find_edit("#2")[0])


def test_subtraction_can_be_undone_and_replayed_exactly(tmp_path: Path) -> None:
    expected = made.make(tmp_path / "expected")
    expected.edit_turn(made.records(0, 1))
    expected.edit_turn(made.records(3, 6))
    workspace = made.make(tmp_path / "subtracted")
    made.fill(workspace, 2)
    before = bits(workspace)
    changes.subtract(workspace, workspace.history.find_edit("#2")[0])
    changes.rollback(workspace, "2")
    assert bits(workspace) == before
    changes.subtract(workspace, workspace.history.find_edit("#2")[0])
    changes.replay(workspace, workspace.history.find_edit("#3")[0])
    assert bits(workspace) == bits(expected)


def test_without_its_pairs_an_edit_is_not_subtracted(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, undo_window=0)
    made.fill(workspace, 1)
    with pytest.raises(WorkspaceError, match="use replay, which is exact"):
        changes.subtract(workspace, workspace.history.find_edit("#1")[0])


def test_marks_rollback_and_time_travel(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, undo_window=1, step=2.0)
    prompt = made.records()[0].prompt
    unedited = workspace.ask(prompt).edited
    workspace.edit_turn(made.records(0, 3))
    set_mark(workspace.store, "first")
    then, first = bits(workspace), workspace.ask(prompt).edited
    for turn in range(1, 4):
        workspace.edit_turn(made.records(3 * turn, 3 * turn + 3))
    now, last = bits(workspace), workspace.ask(prompt).edited
    assert len({unedited, first, last}) == 3, "the model must have moved for this test to mean much"
    assert workspace.store.journal.states == {1, 3, 4}
    assert workspace.ask(prompt, at="first").edited == first
    assert workspace.ask(prompt, at="base").edited == unedited
    assert workspace.ask(prompt).edited == last
    assert bits(workspace) == now
    assert changes.rollback(workspace, "first").edits == 9
    assert bits(workspace) == then
    assert workspace.store.journal.states == {1}
    with pytest.raises(WorkspaceError, match='there is no mark or turn "second"; the marks are: '):
        workspace.ask(prompt, at="second")
    with pytest.raises(WorkspaceError, match="no longer kept"):
        workspace.ask(prompt, at="3")
    assert delete_mark(workspace.store, "first") == 1
    for name in ("head", "7", "a b", "../x", "healthy"):
        with pytest.raises(WorkspaceError, match="cannot be a mark"):
            set_mark(workspace.store, name)


def test_a_later_answer_supersedes_and_the_log_keeps_both(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    prompt = made.records()[0].prompt
    workspace.edit_turn(made.records(0, 2))
    workspace.edit_turn([Record(prompt, "Brell", id="again")])
    statuses = workspace.history.statuses()
    assert str(statuses[1]) == "superseded by #3"
    assert [str(statuses[n]) for n in (2, 3)] == ["current", "current"]
    changes.undo(workspace, 1)
    assert {str(s) for s in workspace.history.statuses().values()} == {"current"}


def test_difference_of_two_states(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 3)
    set_mark(workspace.store, "three")
    changes.undo(workspace, 5)
    found = difference(workspace.store, "three", "head")
    assert [e.edit for e in found.removed] == [4, 5, 6, 7, 8, 9]
    assert [(e.edit, e.again_of) for e in found.added] == [(10, 4)]
    assert found.moved is not None
    name, value = next(iter(found.moved.items()))
    shifts = [tensors.load_shifts(workspace.store.state_path(t))[name] for t in (3, 4)]
    original = workspace.editor.weights[0].original
    assert value == pytest.approx(float((shifts[1] - shifts[0]).norm() / original.norm()))
    same = difference(workspace.store, "head", "4")
    assert (same.added, same.removed, same.moved) == ((), (), {name: 0.0})
