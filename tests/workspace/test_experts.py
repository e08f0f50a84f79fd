"""A workspace on a mixture of experts: every verb, undone and killed to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit.export import apply_delta, export
from ultraedit.workspace import tensors
from ultraedit.workspace.changes import replay, rollback, subtract, undo
from ultraedit.workspace.verify import verify

from . import made
from .test_crash import crash


@pytest.fixture(autouse=True)
def experts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(made.FAMILY, "qwen2_moe")


def test_every_verb(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, modules=["*.2.mlp.experts", "*.1.mlp.shared_expert.down_proj"])
    weights = workspace.editor.weights
    assert [w.experts for w in weights] == [None, 5]
    base = tensors.live_digest(weights)
    made.fill(workspace, turns=3)
    done = workspace.last_turn
    assert done is not None and done.routing is not None and done.routing.layers == 2
    head, shift = tensors.live_digest(weights), weights[1].shift.clone()
    described = json.loads((tmp_path / "ws" / "workspace.json").read_text())
    assert described["modules"][1]["shape"] == [5 * 32, 24]
    undo(workspace, 3)
    assert tensors.live_digest(workspace.editor.weights) != head
    workspace.edit_turn(made.records(6, 9))
    assert tensors.live_digest(workspace.editor.weights) == head  # the same turn, to the bit
    subtract(workspace, workspace.history.find_edit("#4")[0])
    assert not workspace.editor.weights[1].shift.equal(shift)
    rollback(workspace, "base")
    assert tensors.live_digest(workspace.editor.weights) == base
    rollback(workspace, "4")
    assert tensors.live_digest(workspace.editor.weights) == head
    again = made.reopen(workspace)
    assert tensors.live_digest(again.editor.weights) == head
    replay(again, again.history.find_edit("#2")[0])
    assert tensors.live_digest(again.editor.weights) != head
    rollback(again, "4")
    assert tensors.live_digest(again.editor.weights) == head
    export(again.editor, "delta", tmp_path / "d")
    model, _ = made.loaded()
    apply_delta(model, tmp_path / "d")
    for w in again.editor.weights:
        assert model.get_parameter(w.map.parameter_name).equal(w.parameter)
    again.close()
    assert verify(tmp_path / "ws").sound


def test_kills_at_random(tmp_path: Path) -> None:
    made.make(tmp_path).close()
    made.facts_file(tmp_path, 6)
    found = crash("random", str(tmp_path), "6")
    assert found["kills"] >= 6
    assert found["same"] == found["lives"] > 0
