"""Where a red turn goes back to: the last turn that is kept and whose readings were green, or that has none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ultraedit.workspace.history import History


def history(*levels: str | None) -> History:
    """Turns 1, 2, ... in a row, with these readings."""
    made = History.__new__(History)
    rows = {
        n: SimpleNamespace(
            parent=n - 1, health=None if level is None else SimpleNamespace(level=level)
        )
        for n, level in enumerate(levels, 1)
    }
    made.journal = SimpleNamespace(turns=rows)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("levels", "kept", "wanted"),
    [
        (("green", "green", "red"), {1, 2, 3}, 2),
        (("green", "amber", "red"), {1, 2, 3}, 1),
        (("green", "red", "red"), {1, 2, 3}, 1),
        (("red", "amber", "red"), {1, 2, 3}, 0),
        (("green", None, "red"), {1, 2, 3}, 2),
        (("green", "green", "red"), {1, 3}, 1),
        (("green", "green", "red"), {3}, 0),
        ((), set(), 0),
    ],
)
def test_the_last_fit_turn(levels: tuple[str | None, ...], kept: set[int], wanted: int) -> None:
    assert history(*levels).healthy(len(levels), kept) == wanted
