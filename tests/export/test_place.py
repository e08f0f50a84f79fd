"""Exports appear whole or not at all."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ultraedit.errors import ConfigError
from ultraedit.export import export
from ultraedit.io.atomic import new_output

KINDS = ("merged", "delta", "lora", "gguf-lora", "card")


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to write files beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_an_occupied_target_is_refused_and_left_alone(llama, tmp_path, kind):
    target = tmp_path / ("README.md" if kind == "card" else "there")
    if kind in ("gguf-lora", "card"):
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        llama.export(kind, target, rank=8, force=True)
    assert "mine" in (target.read_text() if target.is_file() else (target / "mine").read_text())
    assert [f.name for f in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("kind", KINDS)
def test_overwrite_replaces_everything_that_was_there(llama, tmp_path, kind):
    target = tmp_path / ("README.md" if kind == "card" else "there")
    if kind == "card":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    llama.export(kind, target, rank=8, force=True, overwrite=True)
    assert [f.name for f in tmp_path.iterdir()] == [target.name]
    assert target.is_file() == (kind in ("gguf-lora", "card"))
    assert not (target / "mine").exists()


@pytest.mark.parametrize(
    ("kind", "room"),
    [("merged", 20_000), ("delta", 9000), ("lora", 3000), ("gguf-lora", 3000), ("card", 100)],
)
def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(llama, tmp_path, kind, room):
    target = tmp_path / ("README.md" if kind == "card" else "there")
    target.write_text("mine")
    with _files_of_at_most(room), pytest.raises(ConfigError, match="nothing was left there"):
        llama.export(kind, target, rank=8, force=True, overwrite=True)
    assert [f.name for f in tmp_path.iterdir()] == [target.name]
    assert target.read_text() == "mine"


def test_a_full_disk_leaves_nothing_of_a_saved_model_either(llama, tmp_path):
    with _files_of_at_most(20_000), pytest.raises(ConfigError, match="nothing was left there"):
        llama.editor.save_pretrained(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_comes_back_if_the_last_rename_fails(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("mine")
    rename = Path.rename

    def failing(self, target):
        if self.name == "made":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with (
        pytest.raises(ConfigError, match="Input/output error"),
        new_output(tmp_path / "there", True) as made,
    ):
        made.mkdir()
    assert [f.name for f in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there" / "mine").read_text() == "mine"


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_output(tmp_path / "a", False) as made:
        made.mkdir()
        (made / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_in_one_sentence(llama, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot be written: .*; choose another place"):
        export(llama.editor, "delta", tmp_path / "file" / "below")


def test_an_unknown_kind_is_refused(llama, tmp_path):
    with pytest.raises(ConfigError, match=r'"onnx" is not a kind of export; use merged, delta'):
        export(llama.editor, "onnx", tmp_path / "a")
