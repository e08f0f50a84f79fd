"""What the server writes into the note of a commit: who asked for it, and under which key.

A retry after a crash finds its commit by this, and is answered without being done again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ultraedit.workspace.journal import CommitRow

_MARK = "request "


@dataclass(frozen=True)
class Remark:
    """Who asked for a change."""

    by: str
    """Name of the server's key that was used."""
    key: str | None = None
    """The request's Idempotency-Key."""
    body: str | None = None
    """Digest of what was asked, so that one key stands for one request."""
    turn: int | None = None
    """The turn that the request wrote; None for one that wrote no facts."""

    def text(self) -> str:
        """As it stands in the commit's note."""
        found = {k: v for k, v in vars(self).items() if v is not None}
        return _MARK + json.dumps(found, sort_keys=True, separators=(",", ":"))


def remark_in(commit: CommitRow) -> Remark | None:
    """What a commit's note says of the request behind it; None for a change that no server made."""
    _, found, rest = commit.note.rpartition(_MARK + "{")
    if not found:
        return None
    try:
        fields = json.loads("{" + rest)
    except ValueError:
        return None
    try:
        return Remark(**fields)
    except TypeError:  # by a newer program, or somebody's own words
        return None


def digest(what: str, body: object) -> str:
    """Of a request: the same for the same wish, whatever the order of its fields."""
    text = json.dumps([what, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
