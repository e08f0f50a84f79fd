"""StableEdit's warm-up: turns of real edits, of another split, before the stream that counts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.methods.stableedit import StableEditState


def warm_up(editor: Editor, records: Iterable[Record], turn_size: int = 100) -> int:
    """Write `records` into a fresh editor, `turn_size` at a time; returns how many there were.

    As published: they stay in the model, their gradients are scaled one dimension at a time, and from then on whitening
    uses the covariance they left.  The editor counts its edits from 0 afterwards.  Raises ConfigError where the
    editor's method does not whiten, or where it has edits already.
    """
    if not isinstance(editor.statistics, StableEditState):
        raise ConfigError(f'preset "{editor.method.name}" has no warm-up; only "stableedit" has.')
    if editor.edits:
        raise ConfigError(
            f"the editor holds {editor.edits:,} edits already; warm it up before the first one."
        )
    left = iter(records)
    count = 0
    editor.statistics = editor.statistics.warm(True)
    try:
        while chunk := list(islice(left, turn_size)):
            editor.edit_turn(chunk)
            count += len(chunk)
    finally:
        editor.statistics = editor.statistics.warm(False)
    editor.edits = editor.turns = 0
    return count
