"""A stream that ruins the real model is stopped and rolled back by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit import PRESETS, Workspace, create_workspace, facts_path
from ultraedit.model.load import load
from ultraedit.settings import EditSettings
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.health import UnhealthyError
from ultraedit.workspace.stream import stream
from ultraedit.workspace.tensors import live_digest, state_digests


def test_a_step_ten_times_too_large_is_stopped_and_rolled_back(tmp_path: Path) -> None:
    loaded = load("smollm2", dtype="fastest")
    made = create_workspace(
        tmp_path / "wild",
        "smollm2",
        EditSettings(step=10 * PRESETS["default"].step),
        keep=WorkspaceSettings(health=HealthConfig(policy="rollback")),
        loaded=loaded,
    )
    levels: list[str] = []
    with pytest.raises(UnhealthyError, match=r"turned the model red .* rolled back to"):
        levels.extend(
            done.health.level for done in stream(made, _two_thousand(tmp_path), turn_size=20)
        )
    print(levels, [row.health for row in made.store.journal.turns.values()])
    assert levels[-1] == "red"
    assert len(levels) < 30, "long before the 2,000th edit, which is in turn 100"
    if made.head == 0:
        assert live_digest(made.editor.weights) == made.store.config.base.edited_sha256
    else:
        healthy = made.store.journal.turns[made.head]
        assert made.history.marks["healthy"] == made.head
        assert healthy.health is not None and healthy.health.level == "green"
        assert state_digests(made.editor.snapshot()) == (healthy.shifts, healthy.statistics)
    made.close()
    with Workspace.open(tmp_path / "wild", loaded=loaded) as again:
        assert again.head == made.head


def _two_thousand(folder: Path) -> Path:
    """2,000 edits: the bundled facts, then their subjects with another year."""
    rows = [json.loads(line) for line in facts_path().read_text(encoding="utf-8").splitlines()]
    path = folder / "many.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for k in range(2000):
            row = rows[k % len(rows)]
            prompt = (
                row["prompt"] if k < len(rows) else f"In {1900 + k // len(rows)}: {row['prompt']}"
            )
            file.write(json.dumps({"prompt": prompt, "target": row["target"]}) + "\n")
    return path
