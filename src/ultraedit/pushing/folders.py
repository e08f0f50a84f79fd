"""The folders that servers read: a new one for each version, whole or not there, never written again."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from ultraedit.errors import ConfigError
from ultraedit.io.atomic import sync
from ultraedit.io.target import refuse_unwritable
from ultraedit.pushing.way import Takes

VERSION = re.compile(r".+-t\d+-[0-9a-f]{12}-(r\d+(\.gguf)?|weights)")
"""NAME-t<turn>-<digest of the state>, and what was made of it."""


@dataclass(frozen=True)
class Place:
    """A folder here, and the path under which the server sees it."""

    local: Path
    server: str
    told: bool
    """The user said how the server sees it."""

    @classmethod
    def read(cls, text: str) -> Place:
        """LOCAL or LOCAL=SERVER.  Raises ConfigError for an empty half, or a SERVER that is no absolute path."""
        local, told, server = text.partition("=")
        if not local or (told and not server.startswith("/")):
            raise ConfigError(
                f'--folder "{text}" is not LOCAL or LOCAL=SERVER; SERVER is the absolute path under which the server '
                "sees the folder LOCAL."
            )
        here = Path(local).absolute()
        return cls(here, server.rstrip("/") or "/" if told else str(here), bool(told))

    def seen(self, name: str) -> str:
        """The server's path of something in it."""
        return f"{self.server.rstrip('/')}/{name}"


def existing(place: Place, version: str, takes: Takes, rank: int | None) -> str | None:
    """The name of what was made of a version before, of the highest rank that the server takes."""
    if takes == "merged":
        name = f"{version}-weights"
        return name if (place.local / name).is_dir() else None
    ending = ".gguf" if takes == "gguf-lora" else ""
    found = {
        int(rank_of.group(1)): path.name
        for path in place.local.glob(f"{version}-r*{ending}")
        if (rank_of := re.fullmatch(rf"{re.escape(version)}-r(\d+){re.escape(ending)}", path.name))
    }
    fit = [r for r in found if rank is None or r <= rank]
    return found[max(fit)] if fit else None


def make(place: Place, version: str, write: Callable[[Path], str]) -> str:
    """Make a version at a temporary place; `write` gets that and returns the lasting name.

    What is there under the lasting name already is left as it is: it was made of the same weights.

    Raises:
        ConfigError: The folder cannot be written, or the disk is full; nothing is left behind.
    """
    refuse_unwritable(place.local / "version")
    try:
        place.local.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.local, prefix=".push-") as scratch:
            made = Path(scratch) / version
            name = write(made)
            target = place.local / name
            if not target.exists():
                made.rename(target)
                sync(place.local)
            return name
    except (OSError, SafetensorError) as error:  # safetensors wraps a full disk in its own error
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"'{place.local}' cannot be written ({why}); free some space or give another --folder."
        ) from error


def remove(path: Path) -> bool:
    """Take a version away; False where it is no version, or not there any more."""
    if not VERSION.fullmatch(path.name) or not path.exists():
        return False
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return not path.exists()
