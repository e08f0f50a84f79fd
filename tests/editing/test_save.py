"""Saving: a folder that transformers loads alone, whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings


@pytest.fixture
def editor() -> Editor:
    made = Editor(
        tiny.llama(torch.bfloat16),
        tiny.tokenizer(),
        EditSettings(step=0.1, steps=2, text=tiny.TEXT),
    )
    made.edit_turn([Record(*fact) for fact in tiny.FEW])
    return made


def full_disk(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_saved_folder_loads_alone_and_is_the_same_model(editor: Editor, tmp_path: Path) -> None:
    folder = editor.save_pretrained(tmp_path / "deep" / "edited")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    ids = torch.tensor([tokenizer("The capital of Vell is")["input_ids"]])
    with torch.no_grad():
        assert model(ids).logits.equal(editor.model(ids).logits)
    notes = json.loads((folder / "ultraedit.json").read_text())
    assert (notes["edits"], notes["turns"]) == (4, 1)
    assert notes["modules"] == [w.name for w in editor.weights]
    assert [p.name for p in folder.parent.iterdir()] == ["edited"]  # no scratch left behind


def test_every_family_saves_and_loads(family_model: PreTrainedModel, tmp_path: Path) -> None:
    editor = Editor(family_model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    folder = editor.save_pretrained(tmp_path / "edited")
    again = type(family_model).from_pretrained(folder).eval()
    ids = torch.tensor([[1, 40, 41, 42]])
    with torch.no_grad():
        assert again(input_ids=ids).logits.equal(family_model(input_ids=ids).logits)


def test_an_occupied_folder_is_refused_and_kept(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="already holds something"):
        editor.save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_overwrite_replaces_the_whole_folder(editor: Editor, tmp_path: Path) -> None:
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    editor.save_pretrained(folder, overwrite=True)
    assert (folder / "model.safetensors").exists()
    assert not (folder / "old.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["edited"]


def test_an_empty_folder_may_be_filled(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "edited").mkdir()
    editor.save_pretrained(tmp_path / "edited")
    assert (tmp_path / "edited" / "model.safetensors").exists()


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_in_the_way_is_refused_and_kept(
    editor: Editor, tmp_path: Path, overwrite: bool
) -> None:
    file = tmp_path / "edited"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        editor.save_pretrained(file, overwrite=overwrite)
    assert file.read_text() == "mine"


def test_a_file_for_a_parent_is_a_sentence(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="cannot be written"):
        editor.save_pretrained(tmp_path / "file" / "edited")


@pytest.mark.parametrize(
    "where",
    [
        "transformers.PreTrainedModel.save_pretrained",
        "transformers.PreTrainedTokenizerBase.save_pretrained",
        "pathlib.Path.write_text",
        "os.fsync",
        "pathlib.Path.rename",
    ],
)
@pytest.mark.parametrize("occupied", [False, True])
def test_a_full_disk_leaves_nothing_half_written(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, occupied: bool
) -> None:
    folder = tmp_path / "edited"
    if occupied:
        folder.mkdir()
        (folder / "old.txt").write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(where, full_disk)
        if where == "pathlib.Path.rename":  # an empty place is taken by `replace`
            patch.setattr("pathlib.Path.replace", full_disk)
        with pytest.raises(ConfigError, match=r"could not be written \(No space left on device\)"):
            editor.save_pretrained(folder, overwrite=occupied)
    if occupied:
        assert [p.name for p in folder.iterdir()] == ["old.txt"]
        assert (folder / "old.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == (["edited"] if occupied else [])


def test_a_failing_second_rename_brings_the_old_folder_back(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old folder has been moved aside and the new one cannot take its place."""
    folder = tmp_path / "edited"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    rename, calls = Path.rename, []

    def second_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            full_disk()
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", second_fails)
        with pytest.raises(ConfigError, match="could not be written"):
            editor.save_pretrained(folder, overwrite=True)
    assert (folder / "old.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["edited"]


def test_a_writing_error_of_safetensors_is_a_sentence(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors reports a full disk with an exception of its own, which is no OSError."""
    from safetensors import SafetensorError

    def fail(*args: object, **kwargs: object) -> None:
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    with monkeypatch.context() as patch:
        patch.setattr("transformers.modeling_utils.safe_save_file", fail)
        with pytest.raises(ConfigError, match="could not be written"):
            editor.save_pretrained(tmp_path / "edited")
    assert list(tmp_path.iterdir()) == []


def test_the_base_and_what_holds_it_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "models" / "base"
    tiny.llama().save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    editor = Editor.from_pretrained(base, EditSettings(text=tiny.TEXT))
    before = {p.name: p.read_bytes() for p in base.iterdir()}
    (tmp_path / "link").symlink_to(base)
    monkeypatch.chdir(base.parent)
    for name in (base, "base", "./base/", "../models/base", tmp_path / "link", base.parent):
        with pytest.raises(ConfigError, match=r"(is|holds) '.*base', which this starts from"):
            editor.save_pretrained(name, overwrite=True)
    assert {p.name: p.read_bytes() for p in base.iterdir()} == before
    editor.save_pretrained(base / "edited")  # beside its files: nothing is replaced
    assert (base / "edited" / "model.safetensors").is_file()


def test_a_workspace_and_the_folder_one_works_in_are_never_replaced(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "ws"
    space.mkdir()
    (space / "workspace.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a workspace"):
        editor.save_pretrained(space, overwrite=True)
    monkeypatch.chdir(space)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    for folder in (tmp_path, "/", tmp_path / "home"):
        with pytest.raises(ConfigError, match=r"holds the folder you work in or your home"):
            editor.save_pretrained(folder, overwrite=True)
    assert (space / "workspace.json").read_text() == "{}"


@pytest.mark.parametrize("place", ["/proc/ultraedit", "/dev/null/x", "x" * 300, "a\0b"])
def test_a_place_that_cannot_be_written_is_told_before_any_work(place: str) -> None:
    """By trying: a superuser is permitted everything and may still not write to /proc."""
    from ultraedit.io.target import refuse_unwritable

    with pytest.raises(ConfigError, match=r"cannot be written: .*; choose another place"):
        refuse_unwritable(Path(place))


def test_trying_a_place_leaves_nothing(tmp_path: Path) -> None:
    from ultraedit.io.target import refuse_unwritable

    refuse_unwritable(tmp_path / "deep" / "deeper" / "file")
    assert list(tmp_path.iterdir()) == []
