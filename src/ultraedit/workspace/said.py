"""Whether the model says known answers: teacher-forced, token by token."""

from __future__ import annotations

from collections.abc import Sequence

from ultraedit.editing.editor import Editor
from ultraedit.methods.base import Ids
from ultraedit.model.steady import steady


def said_whole(editor: Editor, pairs: Sequence[Ids]) -> list[bool]:
    """Of each (prompt, answer): whether every token of the answer is the most likely one."""
    said = [True] * len(pairs)
    with steady(editor.model):
        for traced in editor.runner.score(pairs, editor.engine.micro_batch):
            for pair, hit in zip(traced.owner.tolist(), traced.hits.tolist(), strict=True):
                said[pair] &= hit
    return said
