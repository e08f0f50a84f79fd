"""Readings, levels and policies of the monitor."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraedit.workspace import changes
from ultraedit.workspace.config import HealthConfig, Thresholds
from ultraedit.workspace.health import Reservoir, UnhealthyError
from ultraedit.workspace.stream import stream
from ultraedit.workspace.verify import verify

from . import made

WATCHED = HealthConfig(
    canary_tokens=256, reservoir_size=4, reservoir_every=2, success=Thresholds(amber=-1, red=-2)
)


def red_above(ratio: float, policy: str) -> HealthConfig:
    limits = Thresholds(amber=ratio * 0.999, red=ratio)
    calm = Thresholds(amber=-1, red=-2)
    return WATCHED.model_copy(update={"shift_ratio": limits, "policy": policy, "reservoir": calm})


def test_readings_are_in_the_journal_and_the_healthy_mark_follows_green(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, health=red_above(1e9, "stop"))
    done = [workspace.edit_turn(made.records(3 * k, 3 * k + 3)) for k in range(2)]
    assert [d.health.level for d in done] == ["green", "green"]
    assert workspace.history.marks == {"healthy": 2}
    first, second = (workspace.store.journal.turns[t].health for t in (1, 2))
    assert first is not None
    assert second is not None
    assert (first.reservoir, second.reservoir is None) == (None, False)
    assert 0 < first.shift_ratio < second.shift_ratio
    assert first.perplexity_ratio != 1.0


def test_going_back_takes_the_healthy_mark_along(tmp_path: Path) -> None:
    """Left on the branch that was undone, it would bring undone edits back and hold a state for ever."""
    workspace = made.make(tmp_path, health=red_above(1e9, "stop"), undo_window=2)
    made.fill(workspace, 4)
    assert workspace.history.marks == {"healthy": 4}
    changes.undo(workspace, 3)
    assert workspace.history.marks == {"healthy": 3}
    assert workspace.store.journal.states == {2, 3}
    changes.rollback(workspace, "base")
    assert workspace.history.marks == {}
    assert workspace.store.journal.states == set()


def test_a_red_turn_after_a_replay_costs_only_itself(tmp_path: Path) -> None:
    """Turns written again have no readings; they are not passed over as if they were ill."""
    limit = (ratio_after(tmp_path, 2) + ratio_after(tmp_path / "more", 3)) / 2
    workspace = made.make(tmp_path, health=red_above(limit, "rollback"))
    made.fill(workspace, 2)
    changes.replay(workspace, workspace.history.find_current("#1"))
    stood = workspace.head
    assert workspace.history.marks["healthy"] == stood == 4
    red = workspace.edit_turn(made.records(6, 12))
    assert (red.health.level, red.rolled_back_to, workspace.head) == ("red", stood, stood)


def ratio_after(tmp_path: Path, turns: int) -> float:
    workspace = made.make(tmp_path / "probe")
    made.fill(workspace, turns)
    return max(w.shift_ratio() for w in workspace.editor.weights)


@pytest.mark.parametrize("policy", ["warn", "stop", "rollback"])
def test_policies(tmp_path: Path, policy: str) -> None:
    limit = (ratio_after(tmp_path, 2) + ratio_after(tmp_path / "more", 3)) / 2
    workspace = made.make(tmp_path, health=red_above(limit, policy))
    levels: list[str] = []
    stopped = ""
    try:
        turns = stream(workspace, made.facts_file(tmp_path, 12), turn_size=3)
        levels.extend(done.health.level for done in turns)
    except UnhealthyError as error:
        stopped = str(error)
    if policy == "warn":
        assert (levels[2:], stopped) == (["red", "red"], "")
        return
    assert levels[2:] == ["red"]
    assert "||W - W0|| / ||W0|| is " in stopped
    healthy = workspace.history.marks["healthy"]
    if policy == "stop":
        assert workspace.head == 3
        assert "the stream was stopped there" in stopped
    else:
        assert workspace.head == healthy == 2
        assert f'rolled back to turn {healthy} ("healthy")' in stopped
        assert workspace.store.journal.commits[-1].kind == "rollback"
        assert workspace.store.journal.turns[3].health is not None, "the red turn is in the journal"
    assert verify(workspace.store.folder).sound
    reopened = made.reopen(workspace)
    state = reopened.snapshot(reopened.head)
    assert all(w.shift.equal(state.shifts[w.name]) for w in reopened.editor.weights)


def test_a_stream_that_never_was_healthy_goes_back_to_the_base(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, health=red_above(1e-9, "rollback"))
    with pytest.raises(UnhealthyError, match="rolled back to the base"):
        list(stream(workspace, made.facts_file(tmp_path), turn_size=3))
    assert workspace.head == 0


def test_the_reservoir_depends_on_seed_and_edits_only(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    grown = Reservoir(4, seed=7)
    for k in range(4):
        workspace.edit_turn(made.records(3 * k, 3 * k + 3))
        seen = grown.at(workspace.history, workspace.head)
    fresh = Reservoir(4, seed=7).at(workspace.history, workspace.head)
    assert fresh == seen
    assert len(fresh) == 4
    others = {
        tuple(e.edit for e in Reservoir(4, seed=s).at(workspace.history, workspace.head))
        for s in range(8)
    }
    assert len(others) > 3
    back = grown.at(workspace.history, 2)
    assert back == Reservoir(4, seed=7).at(workspace.history, 2)


def test_a_rewritten_prompt_leaves_the_sample(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    workspace.edit_turn(made.records(0, 2))
    workspace.edit_turn(made.records(0, 1))
    sampled = Reservoir(10, seed=0).at(workspace.history, workspace.head)
    assert [e.edit for e in sampled] == [2, 3]
