"""A file of facts made ready before anything is written: what is known already, what contradicts, what will be said.

All that the unedited model makes for an edit (further wordings, sentences in its own words) is made here once and put
into a file that a person can read and mend.  Facts are data: a fact's text is put into prompts as it stands, and
nothing that it says is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ultraedit.data.record import Record, prompt_key
from ultraedit.editing.assemble import where
from ultraedit.editing.editor import Editor

AT_ONCE = 50
"""Facts that the model answers together."""

ANSWER_TOKENS = 32


@dataclass(frozen=True)
class PreparedFact:
    """One fact, ready to be written."""

    record: Record
    """With its wordings and sentences."""
    answer: str
    """What the model says before any edit."""
    known: bool
    """Whether that holds the target already."""
    conflict: str | None
    """The fact that this one contradicts, in words: an earlier one of the file, or one that the journal holds."""


def prepare_facts(
    editor: Editor,
    records: Sequence[Record],
    knows: Callable[[str, str], bool],
    in_force: Sequence[Record] = (),
) -> Iterator[PreparedFact]:
    """Prepare facts, some at a time.

    Args:
        editor: Of the unedited model, with the settings that the facts will be written with.
        records: The facts.
        knows: Whether an answer holds a target.
        in_force: Facts that a workspace holds.

    Returns:
        An iterator over the facts in their order.

    Raises:
        DataError: A fact cannot be used.
    """
    held = {prompt_key(r.prompt): (r, f'edit "{r.id}" of the workspace') for r in in_force}
    for low in range(0, len(records), AT_ONCE):
        some = list(editor.prepare(records[low : low + AT_ONCE]))
        for record, answer in zip(
            some, editor.answers([r.prompt for r in some], ANSWER_TOKENS), strict=True
        ):
            earlier, name = held.get(prompt_key(record.prompt), (None, ""))
            conflict = None
            if earlier is not None and earlier.target.strip() != record.target.strip():
                conflict = f'{name} answers "{earlier.target}"'
            held[prompt_key(record.prompt)] = (record, where(record))
            yield PreparedFact(record, answer, knows(answer, record.target), conflict)
