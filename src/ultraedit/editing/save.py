"""Saves a model folder whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.editing.place import placing
from ultraedit.errors import ConfigError
from ultraedit.quiet import no_progress_bars

NOTES = "ultraedit.json"


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    notes: dict[str, Any],
    overwrite: bool,
) -> Path:
    """Write into a temporary sibling, fsync, and rename into place.

    Raises ConfigError if `folder` holds something (without `overwrite`) or cannot be written.
    """
    refuse_occupied(folder, overwrite)
    with placing(folder, overwrite) as made:
        with no_progress_bars():
            model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        (made / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    return folder


def refuse_occupied(folder: Path, overwrite: bool) -> None:
    """Raise ConfigError where `folder` is a file, or holds something and may not be replaced."""
    if folder.is_file():
        raise ConfigError(f"'{folder}' is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ConfigError(
            f"'{folder}' already holds something; choose another folder or pass --overwrite."
        )


def noted_format(name: str | Path) -> Literal["raw", "chat"] | None:
    """The form a folder's model was edited in; None where it is no folder that `save_model` wrote."""
    file = Path(name) / NOTES
    if not file.is_file():
        return None
    form = json.loads(file.read_text(encoding="utf-8")).get("format")
    return form if form in ("raw", "chat") else None
