"""A changed byte anywhere is found and named; damage is refused at use; nothing in a folder is run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from ultraedit.errors import WorkspaceError
from ultraedit.workspace import config, sealed
from ultraedit.workspace.marks import set_mark
from ultraedit.workspace.store import Store
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

from . import made


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    with made.make(folder) as workspace:
        made.fill(workspace, 4)
        set_mark(workspace.store, "done")
    (folder / "ws" / "lock").write_bytes(sealed.seal({"pid": 1, "host": "x", "command": "killed"}))
    return folder


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "c")
    return tmp_path / "c" / "ws"


def test_a_sound_workspace(sound: Path) -> None:
    found = verify(sound / "ws")
    assert found.sound
    assert (found.edits, found.turns) == (12, 4)
    assert [f.file for f in found.findings] == ["lock"]
    names = {p.relative_to(sound / "ws") for p in (sound / "ws").rglob("*") if p.is_file()}
    base = list((sound / "base").glob("*.safetensors"))
    assert found.files == len(names) + len(base), "every file is checked"


def test_two_hundred_flipped_bytes_are_found_and_named(copied: Path) -> None:
    dice = random.Random(0)
    files = sorted(p for p in copied.rglob("*") if p.is_file())
    files += sorted((copied.parent / "base").glob("*.safetensors"))
    for sample in range(200):
        path = files[sample % len(files)]
        data = path.read_bytes()
        place, mask = dice.randrange(len(data)), dice.randrange(1, 256)
        path.write_bytes(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])
        found = verify(copied)
        path.write_bytes(data)
        named = [f.file for f in found.findings if not f.harmless]
        assert any(name.endswith(path.name) for name in named), f"byte {place} of {path} ^ {mask}"
        if path.name != "workspace.json":
            assert len(named) == 1, "and nothing else is accused"
    assert verify(copied).sound


def test_a_missing_file_and_a_short_journal_are_named(copied: Path) -> None:
    (copied / "states" / "00000002.safetensors").unlink()
    files = [f.file for f in verify(copied).findings if not f.harmless]
    assert files == ["states/00000002.safetensors"]
    journal = copied / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    files = [f.file for f in verify(copied).findings if not f.harmless]
    assert set(files) == {"journal.jsonl"}
    with pytest.raises(WorkspaceError, match=r"journal.jsonl' is damaged: it has .* acknowledged"):
        Store.open(copied)


def test_whole_commits_cannot_be_cut_off_unnoticed(copied: Path) -> None:
    journal = copied / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    assert not verify(copied).sound
    head = sealed.read_sealed(copied / "head.json")
    sealed.write_sealed(copied / "head.json", head | {"journal_bytes": len(b"".join(lines[:-1]))})
    assert [f.file for f in verify(copied).findings if not f.harmless] == ["journal.jsonl"]


def test_a_damaged_state_is_refused_at_use(copied: Path) -> None:
    path = copied / "states" / "00000004.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WorkspaceError, match=r"00000004.safetensors' is damaged"):
        _ = Workspace.open(copied, loaded=made.loaded()).editor


def test_another_base_is_refused(copied: Path) -> None:
    model, tokenizer = made.loaded()
    model.model.layers[2].mlp.down_proj.weight.data[0, 0] += 1e-3
    with pytest.raises(WorkspaceError, match=r"are not those .* was made with"):
        _ = Workspace.open(copied, loaded=(model, tokenizer)).editor
    found = verify(copied, base=str(copied.parent / "away"))
    assert "no folder" in next(f for f in found.findings if f.file == "base").problem


def test_a_newer_format_is_refused(copied: Path) -> None:
    content = sealed.read_sealed(copied / "workspace.json")
    sealed.write_sealed(copied / "workspace.json", content | {"format_version": 2})
    with pytest.raises(WorkspaceError, match="format version 2 and this program reads version 1"):
        Store.open(copied)
    sealed.write_sealed(copied / "workspace.json", content | {"colour": "red"})
    with pytest.raises(WorkspaceError, match=r"colour: .*written by a newer program"):
        Store.open(copied)


def test_names_in_a_folder_lead_nowhere_else(copied: Path) -> None:
    content = sealed.read_sealed(copied / "workspace.json")
    files = content["base"]["files"]
    content["base"]["files"] = {f"../../{name}": row for name, row in files.items()}
    sealed.write_sealed(copied / "workspace.json", content)
    assert all(".." not in f.file or "base" in f.file for f in verify(copied).findings)


def test_what_is_no_workspace_says_so(tmp_path: Path) -> None:
    assert not config.is_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match=r"is not a workspace \(it has no workspace.json\)"):
        Store.open(tmp_path)
    (tmp_path / "workspace.json").write_text("[1, 2]")
    assert config.is_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match="is damaged"):
        Store.open(tmp_path)


def test_no_pickle_is_ever_read(copied: Path) -> None:
    assert {p.suffix for p in copied.rglob("*") if p.is_file()} == {
        "",
        ".json",
        ".jsonl",
        ".safetensors",
    }
