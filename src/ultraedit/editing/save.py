"""Saves a model folder whole or not at all."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.editing.notes import Notes, write_notes
from ultraedit.editing.plain import write_plain
from ultraedit.editing.precious import refuse_precious
from ultraedit.errors import ConfigError
from ultraedit.io.atomic import new_output
from ultraedit.io.target import refuse_occupied, refuse_unwritable


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
    refuse_target(folder, overwrite, notes.base)
    with new_output(folder, overwrite) as made:
        write_plain(model, made)
        tokenizer.save_pretrained(made)
        write_notes(made, notes)
    return folder


def refuse_target(folder: Path, overwrite: bool, *sources: str) -> None:
    """Raise ConfigError where an edited model cannot be put at `folder`.

    It is a file, cannot be written, holds something and may not be replaced, or holds what must not be replaced: its
    base, for one (`sources`), because a model whose base is gone can neither be compared nor exported.
    """
    if folder.is_file():
        raise ConfigError(f"'{folder}' is a file; name a folder.")
    refuse_precious(folder, *sources)
    refuse_occupied(folder, overwrite)
    refuse_unwritable(folder)
