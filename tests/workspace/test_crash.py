"""kill -9 and a failing disk at any moment: no acknowledged turn is lost, and the end is the same to the bit."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultraedit.errors import WorkspaceError
from ultraedit.workspace import changes, tensors
from ultraedit.workspace.stream import stream
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made


def crash(*arguments: str) -> dict[str, int]:
    return script("crash.py", *arguments)


def script(name: str, *arguments: str) -> dict[str, Any]:
    path = Path(__file__).with_name(name)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    return json.loads(done.stdout)


def test_a_hundred_random_kills(tmp_path: Path) -> None:
    made.make(tmp_path).close()
    made.facts_file(tmp_path)
    found = crash("random", str(tmp_path), "100")
    assert found["kills"] >= 100
    assert found["same"] == found["lives"] > 0


def test_a_kill_at_every_system_call_of_a_turn(tmp_path: Path) -> None:
    made.make(tmp_path).close()
    made.facts_file(tmp_path, 4)
    found = crash("points", str(tmp_path))
    assert found["points"] > 60, "two turns make more calls than that"
    assert found["same"] == found["points"]


def failing(monkeypatch: pytest.MonkeyPatch, name: str, call: int, code: int) -> Callable[[], bool]:
    """Let the `call`-th call of os.`name` fail; the result tells whether it came to that."""
    real, left = getattr(os, name), [call]

    def run(*arguments: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    monkeypatch.setattr(os, name, run)
    return lambda: left[0] <= 0


@pytest.mark.parametrize(
    ("name", "code"),
    [("fsync", errno.EIO), ("replace", errno.EACCES), ("pwrite", errno.ENOSPC)],
)
def test_a_failing_call_leaves_model_and_folder_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    whole = made.make(tmp_path / "whole")
    made.fill(whole, 3)
    workspace = made.make(tmp_path / "failing")
    made.fill(workspace, 1)
    call, failed = 0, 0
    while True:
        call += 1
        with monkeypatch.context() as patch:
            happened = failing(patch, name, call, code)
            try:
                if workspace.head == 1:
                    workspace.edit_turn(made.records(3, 6))
                done = True
            except WorkspaceError as error:
                assert os.strerror(code) in str(error)
                done = False
            assert done != happened()
        state = workspace.snapshot(workspace.head)
        assert tensors.state_digests(workspace.editor.snapshot()) == tensors.state_digests(state)
        assert verify(workspace.store.folder).sound
        failed += not done
        if done:
            break
    assert failed >= 2
    workspace = made.reopen(workspace)
    workspace.edit_turn(made.records(6, 9))
    left, right = made.outcome(workspace.store.folder), made.outcome(whole.store.folder)
    del left["journal"][0], right["journal"][0]  # the digest of the config, which holds its time
    assert left == right


def test_a_full_disk_while_tensors_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 1)
    before = workspace.editor.snapshot().shifts
    real = tensors.save_file

    def full(content: dict[str, object], path: Path) -> None:
        real(content, path)
        path.write_bytes(path.read_bytes()[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tensors, "save_file", full)
        with pytest.raises(WorkspaceError, match=r"No space left.*stands at turn 1"):
            workspace.edit_turn(made.records(3, 6))
    after = workspace.editor.snapshot().shifts
    assert all(after[name].equal(before[name]) for name in before)
    assert sorted(p.name for p in (tmp_path / "ws" / "states").iterdir()) == [
        "00000001.safetensors"
    ]
    assert workspace.edit_turn(made.records(3, 6)).turn == 2


def test_an_interrupted_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    facts = made.facts_file(tmp_path)
    whole = made.make(tmp_path / "whole")
    assert len(list(stream(whole, facts, turn_size=3))) == 5
    workspace = made.make(tmp_path / "parts")
    for _, _ in zip(range(2), stream(workspace, facts, turn_size=3), strict=False):
        pass
    workspace = made.reopen(workspace)
    assert workspace.head == 2
    assert [done.turn for done in stream(workspace, facts, turn_size=3)] == [3, 4, 5]
    assert list(stream(workspace, facts, turn_size=3)) == []
    left, right = made.outcome(tmp_path / "parts" / "ws"), made.outcome(tmp_path / "whole" / "ws")
    del left["journal"][0], right["journal"][0]
    assert left == right
    assert next(iter(stream(workspace, facts, turn_size=3, again=True))).turn == 6


def test_another_file_starts_from_its_first_row_and_a_longer_one_goes_on(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    list(stream(workspace, made.facts_file(tmp_path, 4), turn_size=4))
    longer = made.facts_file(tmp_path, 6)
    assert [len(d.receipts) for d in stream(workspace, longer, turn_size=4)] == [2]
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt": "Who keeps the lock?", "target": "Tam"}\n' + longer.read_text())
    assert [len(d.receipts) for d in stream(workspace, other, turn_size=10)] == [7]


def test_what_a_crash_left_is_cleared_by_the_next_writer_and_not_by_a_reader(
    tmp_path: Path,
) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 2)
    workspace.close()
    folder = tmp_path / "ws"
    (folder / "states" / "00000003.safetensors").write_bytes(b"half")
    (folder / "pairs" / "00000003.safetensors.tmp").write_bytes(b"half")
    (folder / "states" / ".tmpQ2hXcz").write_bytes(b"half")  # safetensors' own temporary name
    with (folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"edit":7,"turn":3,"id":"')
    notes = [f.file for f in verify(folder).findings if f.harmless]
    assert verify(folder).sound
    assert set(notes) == {
        "journal.jsonl",
        "states/00000003.safetensors",
        "states/.tmpQ2hXcz",
        "pairs/00000003.safetensors.tmp",
    }
    assert Workspace.open(folder, loaded=made.loaded()).head == 2
    assert (folder / "states" / "00000003.safetensors").exists()
    Workspace.open(folder, write=True).close()
    assert verify(folder).findings == ()


def test_a_signal_in_the_middle_of_any_turn_is_gone_on_from_to_the_bit(tmp_path: Path) -> None:
    """SIGTERM and SIGINT at every pass through the model of three turns, and the same end as without."""
    made.make(tmp_path).close()
    made.facts_file(tmp_path, 6)
    found = script("stopped.py", str(tmp_path))
    assert found["stopped"] >= 12 and found["after_a_written_turn"] >= 8
    assert found["same"] == found["stopped"]
    assert found["codes"] == [130, 143] and not found["traceback"]


def test_a_second_error_does_not_hide_the_first(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    made.fill(workspace, 2)
    state = workspace.store.state_path(2)
    kept = state.read_bytes()
    with pytest.raises(ZeroDivisionError, match="the first"), changes._or_nothing(workspace):
        state.unlink()  # so that the model cannot be brought back
        raise ZeroDivisionError("the first")
    workspace = made.reopen(workspace)
    with pytest.raises(WorkspaceError, match="is missing; restore it"):
        workspace.ask("Who?")
    state.write_bytes(kept)
    assert workspace.ask("Who?", max_new_tokens=1).edited is not None


def test_a_lock_whose_note_cannot_be_taken_back_is_released_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = made.make(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, "ftruncate", 1, errno.EIO)
        with pytest.raises(ZeroDivisionError), workspace:
            raise ZeroDivisionError
    Workspace.open(tmp_path / "ws", write=True).close()
