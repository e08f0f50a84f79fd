"""Whether something may be put at a place, found out before hours of work and not after."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ultraedit.errors import ConfigError


def refuse_unwritable(target: Path) -> None:
    """Raise ConfigError where a file or folder could not be put at `target`; leaves nothing behind.

    It is tried, in the nearest folder that is there: permissions say little to a superuser or on a read-only disk.
    """
    try:
        folder = target.absolute().parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{target.name}-"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"'{target}' cannot be written: {why}; choose another place.") from error


def refuse_occupied(target: Path, overwrite: bool) -> None:
    """Raise ConfigError where `target` is a file or a folder that holds something, unless it may be replaced."""
    if overwrite or not target.exists():
        return
    if target.is_file():
        raise ConfigError(f"'{target}' already exists; choose another name or pass --overwrite.")
    if any(target.iterdir()):
        raise ConfigError(
            f"'{target}' already holds something; choose another folder or pass --overwrite."
        )
