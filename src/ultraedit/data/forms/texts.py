"""Forms whose target is a sentence or more: UnKE, WikiBio, events."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ultraedit.data.forms.base import DataForm, present, row_id
from ultraedit.data.forms.questions import named_probes
from ultraedit.data.record import Probe, Record
from ultraedit.data.row import Row, RowError, quote


def _unke(row: Row) -> Iterator[Record]:
    questions, answers = row.texts("sub_question"), row.texts("sub_answer")
    if len(questions) != len(answers):
        raise RowError(
            f"`sub_question` has {len(questions)} texts but `sub_answer` has {len(answers)}; "
            "give every question one answer"
        )
    yield Record(
        prompt=row.text("question"),
        target=row.text("answer"),
        id=row_id(row, "id"),
        rephrases=present(row.maybe("para_question")),
        portability=tuple(
            Probe(question, answer, "sub_question")
            for question, answer in zip(questions, answers, strict=True)
        ),
        line=row.line,
    )


def _wikibio(row: Row) -> Iterator[Record]:
    yield Record(
        prompt=row.text("text"),
        target=row.text("labels"),
        id=row_id(row),
        subject=row.maybe("concept"),
        locality=named_probes(row, "locality"),
        line=row.line,
    )


def cut_in_half(text: str, field: str) -> tuple[str, str]:
    """The first half of a text's words and the rest, without the space between them."""
    spaces = list(re.finditer(r"\s+", text.strip()))
    if not spaces:
        raise RowError(
            f"field `{field}` must have two words or more to be cut, found {quote(text)}"
        )
    middle = spaces[(len(spaces) - 1) // 2]
    return text.strip()[: middle.start()], text.strip()[middle.end() :]


def _event_probes(row: Row, name: str) -> tuple[Probe, ...]:
    """The questions about facts (answered by a name) and tendencies (answered by a letter)."""
    facts = [
        Probe(item.text("question"), item.maybe("answer.name"), "fact")
        for item in row.parts(f"fact.{name}")
    ]
    tendencies = [
        Probe(f"{item.text('question')} {item.text('candidate')}", item.maybe("answer"), "tendency")
        for item in row.parts(f"tendency.{name}")
    ]
    return (*facts, *tendencies)


def _event(row: Row) -> Iterator[Record]:
    prompt, target = cut_in_half(row.text("event"), "event")
    yield Record(
        prompt=prompt,
        target=target,
        id=row_id(row),
        subject=row.maybe("subject.name"),
        locality=_event_probes(row, "local_qas"),
        portability=_event_probes(row, "qas"),
        line=row.line,
    )


UNKE = DataForm(
    "unke",
    "UnKE: long answers with sub-questions",
    ("question", "answer", "para_question"),
    (
        ("question", "prompt"),
        ("answer", "target"),
        ("id", "id"),
        ("para_question", "rephrases"),
        ("sub_question", "portability"),
        ("sub_answer", "portability"),
    ),
    _unke,
)
WIKIBIO = DataForm(
    "wikibio",
    "KnowEdit WikiBio: the next sentence of a biography",
    ("text", "labels", "concept"),
    (
        ("text", "prompt"),
        ("labels", "target"),
        ("concept", "subject"),
        ("locality.*", "locality"),
    ),
    _wikibio,
)
EVENT = DataForm(
    "event-edit",
    "Event-level editing: a sentence of news, and what follows from it",
    ("event", "fact", "tendency"),
    (
        ("event", "prompt (first half of its words), target (the rest)"),
        ("subject.name", "subject"),
        ("fact.local_qas", "locality"),
        ("tendency.local_qas", "locality"),
        ("fact.qas", "portability"),
        ("tendency.qas", "portability"),
    ),
    _event,
)
