"""`pushed.jsonl` in a workspace: what was pushed where, a line each, the newest last.

A file beside the journal and not a commit in it: pushing is reading, and goes on while a server holds the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ultraedit.errors import WorkspaceError

LEDGER = "pushed.jsonl"


class Row(BaseModel):
    """One push that stands."""

    model_config = ConfigDict(frozen=True)

    time: str
    url: str
    server: str
    how: str
    name: str
    """What was made of the version: the name of its folder, and on most servers that of the model."""
    folder: str
    """Where it lies here."""
    place: str
    """Where the server sees it."""
    turn: int
    version: str
    alias: str | None = None
    """The fixed name that it is served under too."""


class Ledger:
    """What a workspace was pushed to."""

    def __init__(self, workspace: Path) -> None:
        """
        Args:
            workspace: Its folder.
        """
        self._path = workspace / LEDGER

    def require_writable(self) -> None:
        """Raise WorkspaceError where a push could not be noted, found out before it is made."""
        try:
            self._path.open("ab").close()
        except OSError as error:
            raise WorkspaceError(
                f"'{self._path}' cannot be written ({error.strerror}); what is pushed is noted there: mend that first."
            ) from error

    def rows(self) -> Iterator[Row]:
        """Oldest first; a line that a crash cut off is passed over."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise WorkspaceError(
                f"'{self._path}' cannot be read ({error.strerror}); mend that first."
            ) from error
        for line in lines:
            try:
                yield Row.model_validate_json(line)
            except ValidationError:
                continue

    def note(self, row: Row) -> None:
        """Write a push down, safe on disk.  Raises WorkspaceError."""
        line = row.model_dump_json().encode() + b"\n"
        try:
            found = self._path.read_bytes() if self._path.exists() else b""
            whole = not found or found.endswith(b"\n")
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line if whole else b"\n" + line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise WorkspaceError(
                f"the push stands, but '{self._path}' could not be written ({error.strerror}): --keep will not know of "
                "it."
            ) from error
