"""Between which stretches of a turn the streams get their tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ultraedit.serving.service import _Pauses
from ultraedit.workspace import tensors
from ultraedit.workspace.workspace import Workspace

from .served import FACTS, Served, serving


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as found:
        yield found


def test_every_solve_of_a_map_ends_in_a_pause(served: Served) -> None:
    editor = served.workspace.editor
    told: list[str] = []

    class Noted(_Pauses):
        def phase(self, name: str) -> Any:
            told.append(name)
            return super().phase(name)

    paused = []
    editor.listener = Noted(lambda: paused.append(len(told)))
    assert served.edit(*FACTS[:2]).status_code == 200
    maps = len(editor.weights)
    assert told.count("solve") >= 2 * maps  # each map is factored, and solved for at least once
    # no phase begins before the one in front of it has paused
    assert set(range(1, len(told) + 1)) <= set(paused)


def test_streams_are_answered_while_a_state_is_put_on_disk(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk waits for a step of the engine: were it the model thread's own work, the step would never come."""
    stepped = threading.Event()
    real = tensors.save_state

    def slow(path: Path, state: Any) -> None:
        stepped.clear()
        assert stepped.wait(20), "nobody was answered while the disk was busy"
        real(path, state)

    def noticed() -> None:
        served.service._pause()
        stepped.set()

    monkeypatch.setattr(tensors, "save_state", slow)
    served.workspace.editor.listener = _Pauses(noticed)
    assert served.edit(FACTS[0]).status_code == 200


def test_a_disk_that_refuses_while_streams_run_refuses_the_turn(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, state: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensors, "save_state", full)
    found = served.edit(FACTS[0])
    assert found.status_code == 503
    assert "No space left" in found.text
    assert served.workspace.head == 0


def test_the_first_turn_finds_the_monitor_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = Workspace.watch

    def noted(workspace: Workspace) -> Any:
        made.append("monitor")
        return real(workspace)

    monkeypatch.setattr(Workspace, "watch", noted)
    with serving(tmp_path) as served:
        assert made == ["monitor"]
        assert served.edit(FACTS[0]).status_code == 200
        assert made == ["monitor"]


def test_the_reading_of_own_answers_pauses_between_its_passes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One through the blocks, and two through the head."""
    editor = served.workspace.editor
    heads: list[int] = []
    real = editor.runner.head

    def counted(hidden: Any) -> Any:
        heads.append(len(hidden))
        return real(hidden)

    monkeypatch.setattr(editor.runner, "head", counted)
    most: list[int] = []

    def paused() -> None:
        most.append(sum(heads))
        heads.clear()

    editor.listener = _Pauses(paused)
    monitor = served.workspace.watch()
    paused()
    most.clear()
    reading = monitor.chat()
    assert reading is not None
    assert len(most) == 3
    assert most.count(0) <= 1
