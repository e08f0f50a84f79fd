"""Every file of a workspace, damaged in every way: it works, or one sentence, and nothing is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from ultraedit.errors import UltraEditError
from ultraedit.workspace import changes
from ultraedit.workspace.store import Store
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made

FILES = (
    "calibration.safetensors",
    "head.json",
    "journal.jsonl",
    "lock",
    "pairs/00000004.safetensors",
    "states/00000003.safetensors",
    "states/00000004.safetensors",
    "workspace.json",
)
NEEDED = {"head.json", "journal.jsonl", "workspace.json", "states/00000004.safetensors"}
"""Without these as they were the head cannot be asked."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = made.make(tmp_path_factory.mktemp("whole"))
    made.fill(workspace, 4, 3)
    workspace.close()
    return workspace.store.folder


def damages(data: bytes, seed: int) -> Iterator[bytes | None]:
    """None is a folder in the file's place."""
    draw = random.Random(seed)
    yield from (None, b"", b"\0" * len(data), b"[]", b"null\n", b"{}", b"\xff\xfe", data + b"x")
    for _ in range(4):
        yield data[: draw.randrange(len(data) or 1)]
    for _ in range(8):
        changed = bytearray(data or b"x")
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        yield bytes(changed)


def writing(folder: Path) -> Workspace:
    return Workspace.open(folder, write=True, loaded=made.loaded())


def ask(folder: Path) -> None:
    Workspace.open(folder, loaded=made.loaded()).ask("The capital of Vell is", max_new_tokens=2)


def log(folder: Path) -> None:
    history = Store.open(folder).history
    assert list(history.edits()) and history.statuses()


def undo(folder: Path) -> None:
    with writing(folder) as workspace:
        changes.undo(workspace, 4)


def edit(folder: Path) -> None:
    with writing(folder) as workspace:
        workspace.edit_turn(made.records(12, 14))


def subtract(folder: Path) -> None:
    with writing(folder) as workspace:
        changes.subtract(workspace, workspace.history.find_current("#11"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}


@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_sentence_or_no_matter_and_costs_nothing(
    whole: Path, tmp_path: Path, name: str
) -> None:
    """20 damages, each met by a reader, by `verify` and by one of four other users of the folder."""
    shutil.copytree(whole.parent / "base", tmp_path / "base")
    others: Iterator[Callable[[Path], None]] = cycle((log, undo, edit, subtract))
    refused = tried = 0
    for data in damages((whole / name).read_bytes(), len(name)):
        folder = tmp_path / "ws"
        for use in (ask, lambda f: verify(f), next(others)):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            (folder / name).unlink()
            if data is None:
                (folder / name).mkdir()
            else:
                (folder / name).write_bytes(data)
            before = contents(folder)
            tried += 1
            try:
                use(folder)
            except UltraEditError as error:
                refused += 1
                assert "\n" not in str(error)
                assert contents(folder) == before
    assert tried == 60
    assert refused >= 20 or name not in NEEDED
