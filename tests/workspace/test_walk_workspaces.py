"""Everything that can be passed to a workspace, tried: it works or says in one sentence what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from nonsense import Walk, objects, shown
from ultraedit.settings import EditSettings
from ultraedit.workspace import changes, marks
from ultraedit.workspace.config import WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.difference import difference
from ultraedit.workspace.stream import stream
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made


def test_what_is_passed_to_an_open_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = made.make(tmp_path)
    made.fill(workspace, 2)
    store = workspace.store
    walk = Walk()
    doors: dict[str, Callable[[Any], Any]] = {
        "edit_turn": workspace.edit_turn,
        "edit_turn[0]": lambda x: workspace.edit_turn([x]),
        "ask": lambda x: workspace.ask(x, max_new_tokens=1),
        "ask at": lambda x: workspace.ask("Who?", at=x, max_new_tokens=1),
        "ask max_new_tokens": lambda x: workspace.ask("Who?", max_new_tokens=x),
        "snapshot": workspace.snapshot,
        "resolve": lambda x: workspace.history.resolve(x),
        "find_edit": lambda x: workspace.history.find_edit(x),
        "find_current": lambda x: workspace.history.find_current(x),
        "undo": lambda x: changes.undo(workspace, x),
        "rollback": lambda x: changes.rollback(workspace, x),
        "set_mark": lambda x: marks.set_mark(store, x),
        "set_mark at": lambda x: marks.set_mark(store, "here", x),
        "delete_mark": lambda x: marks.delete_mark(store, x),
        "difference": lambda x: difference(store, x, "head"),
        "stream": lambda x: stream(workspace, x),
        "stream[0]": lambda x: stream(workspace, [x]),
        "stream turn": lambda x: stream(workspace, [], turn_size=x),
    }
    for name, door in doors.items():
        for value in objects():
            walk.call(f"{name} = {shown(value)}", lambda d=door, v=value: d(v))
    walk.judge(at_least=18 * 55)
    state = workspace.snapshot(workspace.head)
    assert all(w.shift.equal(state.shifts[w.name]) for w in workspace.editor.weights), (
        "the live model is what is on disk"
    )
    workspace.close()
    assert verify(store.folder).sound


def test_what_is_passed_when_one_is_opened_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made.make(tmp_path).close()
    walk = Walk()
    quick = EditSettings(preset="fast", text=tiny.TEXT)
    places = iter(tmp_path / "made" / str(i) for i in range(10_000))
    for value in objects():
        walk.call(f"open {shown(value)}", lambda v=value: Workspace.open(v))
        for name in ("base", "device", "trust_remote_code", "write", "loaded"):
            walk.call(
                f"open {name} = {shown(value)}",
                lambda n=name, v=value: Workspace.open(tmp_path / "ws", **{n: v}).close(),
            )
        walk.call(
            f"create in {shown(value)}",
            lambda v=value: create_workspace(v, "./no-such-model").close(),
        )
        for name in ("undo_window", "seed", "health"):
            walk.call(
                f"{name} = {shown(value)}", lambda n=name, v=value: WorkspaceSettings(**{n: v})
            )
        for name in ("settings", "keep", "loaded"):
            given = {"loaded": made.loaded(), "settings": quick} | {name: value}
            walk.call(
                f"create {name} = {shown(value)}",
                lambda g=given: create_workspace(next(places), tmp_path / "base", **g).close(),
            )
        for name in ("form", "modules", "micro_batch"):
            walk.call(
                f"create {name} = {shown(value)}",
                lambda n=name, v=value: create_workspace(
                    next(places),
                    tmp_path / "base",
                    EditSettings(**({"preset": "fast", "text": tiny.TEXT} | {n: v})),
                    loaded=made.loaded(),
                ).close(),
            )
    walk.judge(at_least=700)


def test_folders_that_are_no_workspace(tmp_path: Path) -> None:
    made.make(tmp_path).close()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    walk = Walk()
    for name in ("base", "empty", "file", "link", "gone", "x" * 300, "ws/journal.jsonl"):
        for write in (False, True):
            walk.call(name, lambda n=name, w=write: Workspace.open(tmp_path / n, write=w))
        walk.call(name, lambda n=name: verify(tmp_path / n))
    walk.judge(at_least=21)
    assert walk.outcomes["done"] == 0
    for file in ("workspace.json", "head.json", "journal.jsonl"):
        path = tmp_path / "ws" / file
        whole = path.read_bytes()
        for wound in (
            b"",
            whole[:-3],
            whole[:50],
            b"\xff" + whole,
            whole.replace(b"1", b"2"),
            b"[]\n",
            b"null",
        ):
            path.write_bytes(wound)
            walk.call(f"{file} {wound[:20]!r}", lambda: Workspace.open(tmp_path / "ws").close())
        path.write_bytes(whole)
    walk.judge(at_least=42)
