"""A file or folder appears whole or not at all, under names that no other process chooses."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ultraedit.io.atomic import new_file, new_place, put_in_place, temporary_name, write_text


def test_a_file_that_breaks_off_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def break_off() -> None:
        with new_file(path) as made:
            made.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path) as first:
        first.write_text("first")
        with new_file(path) as second:
            assert second != first
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_temporary_name_that_was_asked_for_is_used_and_gone(tmp_path: Path) -> None:
    path, known = tmp_path / "file", tmp_path / "file.tmp"
    with new_file(path, known) as made:
        assert made == known
        made.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert not known.exists()


def test_a_private_file_becomes_one_that_others_may_read(tmp_path: Path) -> None:
    made = temporary_name(tmp_path / "file")
    made.touch(0o600)
    put_in_place(made, tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_text_makes_its_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "file", "é\n")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == "é\n".encode()


def test_a_folder_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with new_place(target) as made:
        made.mkdir()
        (made / "inside").write_text("x")
        assert not target.exists()
    assert (target / "inside").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]
