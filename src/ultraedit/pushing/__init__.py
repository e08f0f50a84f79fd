"""Edits brought into a server that runs already: found out, exported, loaded, asked, and taken back where it is wrong.

Knows nothing of the command line.  docs/pushing.md says what each server can do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultraedit.lazy import lazy_names

if TYPE_CHECKING:
    from ultraedit.pushing.find import How
    from ultraedit.pushing.run import Outlook, Pushed, Wanted, look, push

_HOME = {
    "How": "find",
    "Outlook": "run",
    "Pushed": "run",
    "Wanted": "run",
    "look": "run",
    "push": "run",
}

__all__ = ["How", "Outlook", "Pushed", "Wanted", "look", "push"]


__getattr__ = lazy_names(__name__, _HOME)
