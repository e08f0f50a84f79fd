"""From records to the token pairs of one turn: checks and encodes every field, and settles duplicates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ultraedit.data.record import Record, prompt_key
from ultraedit.errors import DataError
from ultraedit.methods.base import EncodedTurn
from ultraedit.model.text import PromptEncoder

Wordings = list[tuple[list[int], list[int]]]
"""(prompt ids, target ids) of one record's wordings, its own prompt first."""


class SupersededWarning(UserWarning):
    """Two edits of one turn give the same prompt different targets; the later one is written."""


def where(record: Record) -> str:
    """How an error names a record: by its line if it came from a file."""
    if record.line is not None:
        return f"line {record.line}"
    return f'edit "{record.id}"' if record.id else f'the edit of "{_short(record.prompt)}"'


def encode_record(
    record: Record, encoder: PromptEncoder, context: int, with_rephrases: bool = False
) -> Wordings:
    """(prompt ids, target ids) of a record's prompt, its further wordings and, `with_rephrases`, its rephrases.

    Raises DataError for an empty prompt or target, or one that does not fit into the context.
    """
    if not record.target.strip():
        raise DataError(
            f'{where(record)}: the target of "{_short(record.prompt)}" is empty; give the answer it should have.'
        )
    encoded: Wordings = []
    for k, wording in enumerate(record.written(with_rephrases)):
        if not wording.strip():
            what = "a wording" if wording in record.wordings else "a rephrase"
            what = "the prompt" if wording is record.prompt else what
            raise DataError(
                f"{where(record)}: {what} is empty; give the question the model is asked."
            )
        answer = record.sentences[k] if k < len(record.sentences) else record.target
        prompt, target = encoder.pair(wording, answer)
        if not target or not prompt:
            raise DataError(
                f'{where(record)}: "{_short(wording)}" or its target has no tokens for this tokenizer; '
                "give text it can encode."
            )
        if len(prompt) + len(target) + 1 > context:
            raise DataError(
                f'{where(record)}: "{_short(wording)}" and its target take {len(prompt) + len(target)} tokens '
                f"and this model's context is {context}; shorten the prompt."
            )
        encoded.append((prompt, target))
    return encoded


def said_for(record: Record) -> str:
    """What is written behind a record's prompt: its sentence, or the bare target."""
    return record.sentences[0] if record.sentences else record.target


def room_to_answer(prompt: str, ids: Sequence[int], context: int) -> int:
    """How many tokens the model can still say after a prompt of these tokens.

    Raises DataError for a prompt that is empty or leaves no room.
    """
    if not prompt.strip() or not ids:
        raise DataError(f'the prompt "{prompt}" is empty; give the question the model is asked.')
    if len(ids) >= context:
        raise DataError(
            f'the prompt "{_short(prompt)}" takes {len(ids)} tokens and this model\'s context is {context}; '
            "shorten it."
        )
    return context - len(ids)


def assemble(
    records: Sequence[Record], encoded: Sequence[Wordings], ending: Sequence[int]
) -> EncodedTurn:
    """One turn of records whose wordings are `encoded`; `ending` is what follows each bare answer (an end token).  A
    sentence in the model's own words ends by itself.

    The later of two edits of one prompt wins, with a SupersededWarning if their targets differ.
    """
    last: dict[str, int] = {}
    for i, record in enumerate(records):
        key = prompt_key(record.prompt)
        if key in last and records[last[key]].target.strip() != record.target.strip():
            earlier = records[last[key]]
            warnings.warn(
                f'{where(record)} gives "{_short(record.prompt)}" the target "{_short(record.target)}" and '
                f'{where(earlier)} gave it "{_short(earlier.target)}" in the same turn; the later one is written.',
                SupersededWarning,
                stacklevel=3,
            )
        last[key] = i
    written_by = [last[prompt_key(r.prompt)] for r in records]
    pairs: list[tuple[list[int], list[int]]] = []
    owners: list[int] = []
    lengths: list[int] = []
    for i, wordings in enumerate(encoded):
        if written_by[i] != i:
            lengths.append(0)
            continue
        said = len(records[i].sentences)
        pairs += [
            (prompt, [*target, *(() if k < said else ending)])
            for k, (prompt, target) in enumerate(wordings)
        ]
        owners += [i] * len(wordings)
        lengths.append(len(wordings[0][1]))
    return EncodedTurn(pairs, owners, lengths, written_by, records)


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
