"""The plain form: two required columns, `prompt` and `target`; also what this package writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ultraedit.data.forms.base import DataForm, present, row_id
from ultraedit.data.record import Probe, Record
from ultraedit.data.row import Row, RowError


def _records(row: Row) -> Iterator[Record]:
    unrelated, reply = row.maybe("unrelated"), row.maybe("unrelated_answer")
    if reply is not None and unrelated is None:
        raise RowError(
            "field `unrelated_answer` has no question; fill `unrelated` or leave both out"
        )
    one = () if unrelated is None else (Probe(unrelated, reply, "unrelated"),)
    yield Record(
        prompt=row.text("prompt"),
        target=row.text("target"),
        id=row_id(row, "id"),
        subject=row.maybe("subject"),
        rephrases=present(row.maybe("rephrase")) + row.texts("rephrases"),
        locality=one + row.probes("locality", answer="answer"),
        personas=row.texts("personas"),
        portability=row.probes("portability", answer="answer"),
        old=row.maybe("old"),
        wordings=row.texts("wordings"),
        sentences=row.texts("sentences"),
        line=row.line,
    )


def plain_row(record: Record) -> dict[str, Any]:
    """The record as a plain row (JSON values, absent fields left out); reading it gives the record
    back.
    """
    row: dict[str, Any] = {"prompt": record.prompt, "target": record.target}
    if record.id:
        row["id"] = record.id
    if record.subject is not None:
        row["subject"] = record.subject
    if record.rephrases:
        row["rephrases"] = list(record.rephrases)
    if record.locality:
        row["locality"] = [_probe(probe) for probe in record.locality]
    if record.personas:
        row["personas"] = list(record.personas)
    if record.portability:
        row["portability"] = [_probe(probe) for probe in record.portability]
    if record.old is not None:
        row["old"] = record.old
    if record.wordings:
        row["wordings"] = list(record.wordings)
    if record.sentences:
        row["sentences"] = list(record.sentences)
    return row


def _probe(probe: Probe) -> dict[str, str]:
    row = {"prompt": probe.prompt}
    if probe.answer is not None:
        row["answer"] = probe.answer
    if probe.kind:
        row["kind"] = probe.kind
    return row


PLAIN = DataForm(
    name="plain",
    about="two columns of your own, prompt and target, and what you like to add",
    needs=("prompt", "target"),
    columns=(
        ("prompt", "prompt"),
        ("target", "target"),
        ("id", "id"),
        ("subject", "subject"),
        ("rephrase", "rephrases"),
        ("rephrases", "rephrases"),
        ("unrelated", "locality"),
        ("unrelated_answer", "locality"),
        ("locality", "locality"),
        ("personas", "personas"),
        ("portability", "portability"),
        ("old", "old"),
        ("wordings", "wordings"),
        ("sentences", "sentences"),
    ),
    records=_records,
)
