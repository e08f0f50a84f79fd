"""Names for states."""

from __future__ import annotations

import re

from ultraedit import arguments
from ultraedit.errors import WorkspaceError
from ultraedit.workspace.history import BASE, HEAD, HEALTHY
from ultraedit.workspace.store import Store

RESERVED = {BASE, HEAD, HEALTHY}
_NAME = re.compile(r"[^\W\d][\w.-]{0,63}")


def set_mark(store: Store, name: str, at: str | int | None = None) -> int:
    """Let `name` point to the head, or to another state that is still kept.  Returns the turn.

    A marked state stays on disk until the mark is deleted or moved.  Raises WorkspaceError for a name that cannot be
    used or a state that is no longer kept.
    """
    if not isinstance(name, str):
        raise WorkspaceError(f"a mark is named by a text, found {arguments.quoted(name)}.")
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise WorkspaceError(
            f'"{name}" cannot be a mark: use a letter, then letters, digits, "_", "-" or "." (64 at most); '
            f"{', '.join(sorted(RESERVED))} are taken."
        )
    turn = store.head if at is None else store.history.resolve(at)
    if turn and turn not in store.journal.states:
        raise WorkspaceError(
            f"the state after turn {turn} is no longer kept, so it cannot be marked; `ultraedit rollback` to it first."
        )
    _commit(store, name, turn)
    return turn


def delete_mark(store: Store, name: str) -> int:
    """Forget a mark; returns the turn it pointed to."""
    if not isinstance(name, str) or name not in store.history.marks:
        shown = f'"{name}"' if isinstance(name, str) else arguments.quoted(name)
        raise WorkspaceError(
            f"there is no mark {shown}; the marks are: {', '.join(store.history.marks) or 'none'}."
        )
    turn = store.history.marks[name]
    _commit(store, name, None)
    return turn


def _commit(store: Store, name: str, turn: int | None) -> None:
    try:
        store.commit("mark", store.head, marks={name: turn})
    except OSError as error:
        raise WorkspaceError(
            f"'{store.folder}' could not be written ({error.strerror or error}); the mark was not set."
        ) from error
