"""Saves a model folder whole or not at all."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.editing.notes import Notes, write_notes
from ultraedit.editing.place import placing, refuse_precious
from ultraedit.editing.plain import write_plain
from ultraedit.errors import ConfigError
from ultraedit.writable import refuse_unwritable


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    notes: Notes,
    overwrite: bool,
) -> Path:
    """Write into a temporary sibling, fsync, and rename into place.

    Raises ConfigError if `folder` holds something (without `overwrite`), holds the base, or cannot be written.
    """
    refuse_occupied(folder, overwrite, notes.base)
    with placing(folder, overwrite) as made:
        write_plain(model, made)
        tokenizer.save_pretrained(made)
        write_notes(made, notes)
    return folder


def refuse_occupied(folder: Path, overwrite: bool, *sources: str) -> None:
    """Raise ConfigError where an edited model cannot be put at `folder`.

    It is a file, cannot be written, holds something and may not be replaced, or holds what must not be replaced: its
    base, for one (`sources`), because a model whose base is gone can neither be compared nor exported.
    """
    if folder.is_file():
        raise ConfigError(f"'{folder}' is a file; name a folder.")
    refuse_precious(folder, *sources)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(
            f"'{folder}' already holds something; choose another folder or pass --overwrite."
        )
    refuse_unwritable(folder)
