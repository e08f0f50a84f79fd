"""What a state of the weights is called outside: in fingerprints, in If-Match, and as the folder that is pushed."""

from __future__ import annotations

from ultraedit.io.digest import sha256_text
from ultraedit.workspace.store import Store


def version_name(store: Store, turn: int) -> str:
    """`t<turn>-<first 12 hex digits of the state's digest>`."""
    if turn == 0:
        return f"t0-{store.config.base.edited_sha256[:12]}"
    digests = store.journal.turns[turn].shifts
    text = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return f"t{turn}-{sha256_text(text)[:12]}"
