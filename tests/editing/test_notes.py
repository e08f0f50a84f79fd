"""ultraedit.json: one writer, one reader, and a sentence for whatever else is in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny
from ultraedit.bench.pair import base_of
from ultraedit.cli.app import main
from ultraedit.editing.editor import Editor
from ultraedit.editing.notes import NOTES, Notes, lasting_name, read_notes, write_notes
from ultraedit.errors import ModelError
from ultraedit.export import open_folder
from ultraedit.model.load import load
from ultraedit.settings import EditSettings


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`base` and `edited`, saved by a process that stood beside them and named the base as `base`."""
    folder = tmp_path_factory.mktemp("notes")
    tiny.llama().save_pretrained(folder / "base")
    tiny.tokenizer(chat=True).save_pretrained(folder / "base")
    before = Path.cwd()
    os.chdir(folder)
    try:
        model, tokenizer = load("base")
        editor = Editor(
            model, tokenizer, EditSettings(text=tiny.TEXT, step=0.5, form="raw"), base="base"
        )
        editor.edit("The mayor of Tasp is", "Ida")
        editor.save_pretrained("edited")
    finally:
        os.chdir(before)
    return folder


def test_what_is_written_is_read(tmp_path: Path, there: Path) -> None:
    notes = read_notes(there / "edited")
    assert notes is not None
    assert (notes.edits, notes.turns, notes.form) == (1, 1, "raw")
    write_notes(tmp_path, notes)
    assert read_notes(tmp_path) == notes
    assert read_notes(there / "base") is None
    assert read_notes("no/such-model") is None


def test_a_local_base_is_noted_so_that_it_is_found_from_anywhere(there: Path) -> None:
    notes = read_notes(there / "edited")
    assert notes is not None
    assert notes.base == str((there / "base").resolve())
    assert base_of(str(there / "edited"), None) == notes.base
    assert open_folder(there / "edited").base == notes.base
    assert lasting_name("owner/name") == "owner/name"


def test_an_old_relative_note_is_a_sentence_with_the_way_out(there: Path, tmp_path: Path) -> None:
    changed(there / "edited", tmp_path, base="./base")
    for file in (there / "edited").iterdir():
        if file.name != NOTES:
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(
        ModelError, match=r"was edited from '\./base'.*where that model lies.*--base"
    ):
        open_folder(tmp_path)
    assert open_folder(tmp_path, base=str(there / "base")).edits == 1


def changed(folder: Path, into: Path, **changes: Any) -> None:
    content = json.loads((folder / NOTES).read_text())
    (into / NOTES).write_text(json.dumps(content | changes))


DAMAGE = [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"\0" * 9, b"{}", b"[" * 100_000]


@pytest.mark.parametrize("data", DAMAGE, ids=lambda d: repr(d[:4]))
def test_damaged_notes_are_one_sentence_in_every_verb(
    there: Path, tmp_path: Path, data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / NOTES).write_bytes(data)
    for file in (there / "edited").iterdir():
        if file.name != NOTES:
            (tmp_path / file.name).symlink_to(file)
    for verb in (
        ["ask", str(tmp_path), "Who?"],
        ["export", str(tmp_path), "--to", "delta", "--out", str(tmp_path / "out")],
        ["eval", str(tmp_path), "--data", str(tmp_path / "facts.jsonl")],
    ):
        with pytest.raises(SystemExit) as left:
            main(verb)
        error = capfd.readouterr().err
        assert left.value.code == 2
        assert "ultraedit.json' is missing parts or damaged" in error
        assert error.count("\n") == 1


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.sampled_from(sorted(Notes.model_fields)),
    value=st.one_of(
        st.none(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2),
        st.dictionaries(st.text(), st.integers(), max_size=2),
    ),
)  # fmt: skip
def test_any_value_of_any_field_is_read_or_a_sentence(
    there: Path, tmp_path: Path, key: str, value: object
) -> None:
    changed(there / "edited", tmp_path, **{key: value})
    try:
        assert read_notes(tmp_path) is not None
    except ModelError as error:
        assert "\n" not in str(error)


def test_a_folder_in_its_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / NOTES).mkdir()
    with pytest.raises(ModelError, match="damaged"):
        read_notes(tmp_path)
