"""One writer at a time: an flock-ed file that says who holds it.  Readers never take it."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ultraedit.errors import WorkspaceError
from ultraedit.workspace.sealed import seal, unseal


class WriterLock:
    """Held from construction to `release`, or to the death of the process, whichever comes first.

    The file stays; the kernel's lock on it is what counts, so a holder that was killed blocks nobody.  A released
    lock file is empty.
    """

    def __init__(self, path: Path, command: str) -> None:
        """Raises WorkspaceError, naming the holder, if another process writes to this workspace."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            holder, server = _holder(path)
            instead = (
                f"send the change to it with --server {server}" if server else "wait for it to end"
            )
            raise WorkspaceError(
                f"'{path.parent}' is being written by {holder}; {instead}, or only read "
                "(ask, log, show, diff and verify are not blocked)."
            ) from error
        self._note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": command,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write_note()

    def announce(self, server: str) -> None:
        """Tell others at which address the holder takes changes."""
        self._note["server"] = server
        self._write_note()

    def _write_note(self) -> None:
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, seal(self._note), 0)

    def release(self) -> None:
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            # the note counts only while the lock is held; an error here would hide the one that ended the writing
            with suppress(OSError):
                os.ftruncate(handle, 0)
            os.close(handle)


def _holder(path: Path) -> tuple[str, str | None]:
    """Who holds the lock, in words, and the address at which it takes changes, if it is a server."""
    try:
        note = unseal(path.read_bytes(), path)
    except (WorkspaceError, OSError):
        return "another process (its note in the lock file cannot be read)", None
    who = f"process {note['pid']} on {note['host']} (`{note['command']}`, since {note['since']})"
    return who, note.get("server")
