"""Forms whose prompt is a template with `{}` in it: CounterFact, PEAK, MQuAKE, Pitfalls."""

from __future__ import annotations

from collections.abc import Iterator

from ultraedit.data.forms.base import DataForm, other_than, present, row_id
from ultraedit.data.record import Probe, Record
from ultraedit.data.row import Row, RowError, check_text, fill, quote


def _filled(row: Row, template: str, subject: str) -> str:
    return fill(row.text(template), row.text(subject), row.prefix + template)


def _maybe_filled(row: Row, template: str, subject: str) -> str | None:
    return None if row.maybe(template) is None else _filled(row, template, subject)


def _neighbours(row: Row, old: str | None) -> tuple[Probe, ...]:
    """Neighbourhood prompts: texts whose answer is the old object, or [prompt, answer] pairs."""
    if not row.has("neighborhood_prompts"):
        return ()
    found = []
    for i, item in enumerate(row.items("neighborhood_prompts")):
        here = f"neighborhood_prompts[{i}]"
        if isinstance(item, str):
            found.append(Probe(check_text(item, here), old, "neighborhood"))
        elif isinstance(item, (list, tuple)) and len(item) == 2:
            answer = check_text(item[1], f"{here}[1]")
            found.append(Probe(check_text(item[0], f"{here}[0]"), answer, "neighborhood"))
        else:
            raise RowError(
                f"field `{here}` must be a text or [prompt, answer], found {quote(item)}"
            )
    return tuple(found)


def _edits(row: Row, column: str) -> list[Row]:
    edits = row.parts(column)
    if not edits:
        value = row.at(column)
        raise RowError(f"field `{column}` holds no edits: {quote(value)}; leave the row out")
    return edits


def _rewrite(row: Row) -> Iterator[Record]:
    old = row.maybe("requested_rewrite.target_true.str")
    yield Record(
        prompt=_filled(row, "requested_rewrite.prompt", "requested_rewrite.subject"),
        target=row.text("requested_rewrite.target_new.str"),
        id=row_id(row, "case_id"),
        subject=row.text("requested_rewrite.subject"),
        rephrases=row.texts("para_add_prompts") + row.texts("paraphrase_prompts"),
        locality=_neighbours(row, old),
        old=old,
        line=row.line,
    )


def _mquake(row: Row) -> Iterator[Record]:
    edits = _edits(row, "requested_rewrite")
    answer = row.maybe("new_answer")
    # A multi-hop answer holds only once every edit of the case is in, so the last one carries it.
    hops = tuple(Probe(question, answer, "multi_hop") for question in row.texts("questions"))
    for number, edit in enumerate(edits, start=1):
        yield Record(
            prompt=_filled(edit, "prompt", "subject"),
            target=edit.text("target_new.str"),
            id=row_id(row, "case_id", number),
            subject=edit.text("subject"),
            rephrases=present(edit.maybe("question")),
            portability=hops if number == len(edits) else (),
            old=edit.maybe("target_true.str"),
            line=row.line,
        )


def _labelled(edit: Row, path: str, own_id: str, line: int) -> Record:
    """One edit of Pitfalls: relation templates, and subject and objects with labels."""
    target = edit.text(f"{path}new_object.label")
    return Record(
        prompt=_filled(edit, f"{path}relation.prompt", f"{path}subject.label"),
        target=target,
        id=own_id,
        subject=edit.text(f"{path}subject.label"),
        rephrases=present(_maybe_filled(edit, f"{path}relation.query", f"{path}subject.label")),
        old=other_than(target, edit.maybe(f"{path}object.label")),
        line=line,
    )


def _pitfalls(row: Row) -> Iterator[Record]:
    for number, edit in enumerate(_edits(row, "edits"), start=1):
        yield _labelled(edit, "", row_id(row, part=number), row.line)


def _pitfalls_round(row: Row) -> Iterator[Record]:
    yield _labelled(row, "edit.", row_id(row), row.line)


_REWRITE_COLUMNS = (
    ("requested_rewrite.prompt", "prompt"),
    ("requested_rewrite.target_new.str", "target"),
    ("case_id", "id"),
    ("requested_rewrite.subject", "prompt, subject"),
)

PEAK = DataForm(
    "peak",
    "PEAK: appended knowledge",
    ("requested_rewrite.prompt", "para_add_prompts"),
    (
        *_REWRITE_COLUMNS,
        ("para_add_prompts", "rephrases"),
        ("neighborhood_prompts", "locality"),
        ("requested_rewrite.target_true.str", "old"),
    ),
    _rewrite,
)
COUNTERFACT_REWRITE = DataForm(
    "counterfact-rewrite",
    "CounterFact as published with ROME",
    ("requested_rewrite.prompt",),
    (
        *_REWRITE_COLUMNS,
        ("paraphrase_prompts", "rephrases"),
        ("neighborhood_prompts", "locality"),
        ("requested_rewrite.target_true.str", "locality, old"),
    ),
    _rewrite,
)
MQUAKE = DataForm(
    "mquake",
    "MQuAKE: several edits a case, one record each",
    ("requested_rewrite[].prompt",),
    (
        ("requested_rewrite[].prompt", "prompt"),
        ("requested_rewrite[].target_new.str", "target"),
        ("case_id", "id (with .1, .2, …)"),
        ("requested_rewrite[].subject", "prompt, subject"),
        ("requested_rewrite[].question", "rephrases"),
        ("questions", "portability of the case's last record"),
        ("new_answer", "portability of the case's last record"),
        ("requested_rewrite[].target_true.str", "old"),
    ),
    _mquake,
)
PITFALLS = DataForm(
    "pitfalls",
    "Pitfalls: conflicting edits in order, one record each",
    ("edits[].relation", "edits[].new_object"),
    (
        ("edits[].relation.prompt", "prompt"),
        ("edits[].new_object.label", "target"),
        ("edits[].subject.label", "prompt, rephrases, subject"),
        ("edits[].relation.query", "rephrases"),
        ("edits[].object.label", "old"),
    ),
    _pitfalls,
)
PITFALLS_ROUND = DataForm(
    "pitfalls-round",
    "Pitfalls: one edit of a one-to-many relation",
    ("edit.relation", "edit.new_object"),
    (
        ("edit.relation.prompt", "prompt"),
        ("edit.new_object.label", "target"),
        ("edit.subject.label", "prompt, rephrases, subject"),
        ("edit.relation.query", "rephrases"),
        ("edit.object.label", "old"),
    ),
    _pitfalls_round,
)
