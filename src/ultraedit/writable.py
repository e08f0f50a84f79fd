"""Whether a place can be written, found out before hours of work and not after."""

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
