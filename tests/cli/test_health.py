"""What a stream into a workspace says of its health: once what a level means, and not the same at every turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit.settings import EditSettings
from ultraedit.workspace.config import HealthConfig, Thresholds, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.health import advice
from ultraedit.workspace.journal import HealthRow

from .conftest import Run

FAR = Thresholds(amber=1e9, red=1e9)
BELOW = Thresholds(amber=-1.0, red=-1.0)
CALM = HealthConfig(
    canary_tokens=0, shift_ratio=FAR, success=BELOW, reservoir=BELOW, reservoir_every=0
)


def workspace(tmp_path: Path, tiny: Path, **changes: object) -> Path:
    health = CALM.model_copy(update=changes)
    create_workspace(
        tmp_path / "ws",
        tiny,
        EditSettings(preset="fast", step=0.5),
        keep=WorkspaceSettings(health=health),
    ).close()
    return tmp_path / "ws"


def test_red_is_explained_once_and_not_at_every_turn(
    tmp_path: Path, tiny: Path, facts: Path, run: Run
) -> None:
    made = workspace(tmp_path, tiny, shift_ratio=Thresholds(amber=0.0, red=0.0))
    ran = run("edit", made, "--file", facts, "--turn-size", 1)
    assert ran.code == 0 and "7 edits in 7 turns" in ran.out
    assert ran.err.count("health after turn") == 1
    assert "health after turn 1: red: ||W - W0||" in ran.err
    assert ran.err.count("that is: edits move the weights so far") == 1
    assert "ultraedit rollback" in ran.err and "smaller --step" in ran.err


def test_a_change_of_level_is_said_again(tmp_path: Path, tiny: Path, run: Run) -> None:
    """The share learned is judged in turns of two or more, so a turn of one is green."""
    unlearned = Thresholds(amber=2.0, red=2.0)
    made = workspace(tmp_path, tiny, success=unlearned, small_turn=2)
    file = tmp_path / "five.jsonl"
    rows = [{"prompt": f"Who wrote {i}?", "target": f"Ann {i}"} for i in range(5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = run("edit", made, "--file", file, "--turn-size", 2)  # 2 + 2 + 1
    said = [line for line in ran.err.splitlines() if line.startswith("health")]
    assert [line.split(":")[1].split()[0] for line in said] == ["red", "green"]
    assert ran.err.count("the model does not take the edits in") == 1


def test_a_calm_stream_says_nothing(tmp_path: Path, tiny: Path, facts: Path, run: Run) -> None:
    ran = run("edit", workspace(tmp_path, tiny), "--file", facts, "--turn-size", 3)
    assert ran.code == 0 and ran.err == ""


@pytest.mark.parametrize("policy", ["stop", "rollback"])
def test_a_stream_that_is_ended_says_what_to_do(
    policy: str, tmp_path: Path, tiny: Path, facts: Path, run: Run
) -> None:
    unlearned = Thresholds(amber=2.0, red=2.0)
    made = workspace(tmp_path, tiny, success=unlearned, small_turn=1, policy=policy)
    ran = run("edit", made, "--file", facts, "--turn-size", 3)
    assert ran.code == 2 and "error: turn 1 turned the model red" in ran.err
    assert "does not take the edits in" in ran.err and "smaller step" not in ran.err


def test_advice_is_by_what_is_beyond_its_threshold() -> None:
    def row(level: str, **values: float) -> HealthRow:
        usual = {"perplexity_ratio": 1.0, "shift_ratio": 0.0, "success": 1.0, "reservoir": None}
        return HealthRow.model_validate({"level": level, "reasons": (), **usual, **values})

    config = HealthConfig()
    assert advice(row("green"), config) == ""
    assert "smaller --step" in advice(row("red", perplexity_ratio=9.0), config)
    assert "smaller --step" in advice(row("red", reservoir=0.0, success=0.0), config)
    assert "more --steps" in advice(row("red", success=0.1), config)
