"""Records laid out as a flat list of questions, each with its place in the stream of edits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ultraedit.data.record import Record
from ultraedit.evaluation.protocol import Family


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask of a model about one edit."""

    record: int
    """Index into the records given."""
    family: Family
    number: int
    """Which of the record's questions of this family."""
    prompt: str
    answer: str | None
    rival: str | None
    """The answer that must be less likely: the old one after an edit, the edit's own target on an
    unrelated prompt."""
    kind: str


def questions(records: Sequence[Record], question_marks: bool = False) -> list[Question]:
    """Every question of every record, in order.

    Args:
        records: The edits.
        question_marks: Put "?" behind unrelated prompts that do not end in one.
    """
    return [q for i, record in enumerate(records) for q in _of(i, record, question_marks)]


def _of(i: int, r: Record, question_marks: bool) -> Iterator[Question]:
    yield Question(i, "efficacy", 0, r.prompt, r.target, r.old, "")
    for n, prompt in enumerate(r.rephrases):
        yield Question(i, "generalization", n, prompt, r.target, r.old, "")
    for n, prompt in enumerate(r.personas):
        yield Question(i, "persona", n, prompt, r.target, r.old, "")
    for n, probe in enumerate(r.portability):
        yield Question(i, "portability", n, probe.prompt, probe.answer, None, probe.kind)
    for n, probe in enumerate(r.locality):
        # CounterFact's neighbourhood success: only where the data names an old answer
        rival = r.target if r.old is not None and probe.answer not in (None, r.target) else None
        prompt = probe.prompt
        if question_marks and not prompt.rstrip().endswith("?"):
            prompt = prompt.rstrip() + "?"
        yield Question(i, "locality", n, prompt, probe.answer, rival, probe.kind)


def sample(records: Sequence[Record], count: int | None, seed: int) -> frozenset[str]:
    """Keys (see `key`) of `count` records drawn by seed; the draw does not depend on the records'
    order."""
    keys = {key(r) for r in records}
    if count is None or count >= len(keys):
        return frozenset(keys)
    ranked = sorted(keys, key=lambda k: hashlib.blake2b(f"{seed}\0{k}".encode()).digest())
    return frozenset(ranked[:count])


def key(record: Record) -> str:
    """What tells one edit from another: its id, prompt and target."""
    return "\0".join((record.id, record.prompt, record.target))
