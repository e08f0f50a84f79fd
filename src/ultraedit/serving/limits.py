"""How much a server takes on: the settings of `ultraedit serve`, each declared once.

Imports no heavy library, so that the command line can read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ultraedit import arguments
from ultraedit.settings import declared, keep_checked


def _at_least_one(default: int, text: str, **limits: float) -> Any:
    return declared(
        default,
        lambda value, name: arguments.whole(value, name, 1),
        int,
        text,
        min=1,
        **limits,
    )


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    Args:
        rows: Answers generated at once.
        waiting: Requests that may wait for a place.
        changes: Changes that may wait for the one running.
        versions: Versions of the edited weights that are read at once, the base's aside.
        max_tokens: Longest answer of one request, in tokens.
        max_edits: Most facts of one turn.

    Raises:
        ConfigError: A value is no whole number of at least 1.
    """

    rows: int = _at_least_one(16, "Answers generated at once.", max=1024)
    waiting: int = _at_least_one(64, "Requests that may wait for a place.")
    changes: int = _at_least_one(16, "Changes that may wait for the one running.")
    versions: int = _at_least_one(8, "Versions of the weights that are read at once, at most.")
    max_tokens: int = _at_least_one(4096, "Longest answer of one request.")
    max_edits: int = _at_least_one(1000, "Most facts of one turn.")

    def __post_init__(self) -> None:
        keep_checked(self)
