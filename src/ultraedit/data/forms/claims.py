"""FEVER: a claim, and the verdict it must be given after the edit."""

from __future__ import annotations

from collections.abc import Iterator

from ultraedit.data.forms.base import DataForm, row_id
from ultraedit.data.forms.questions import one_probe
from ultraedit.data.record import Probe, Record
from ultraedit.data.row import Row, RowError, quote

OTHER = {"SUPPORTS": "REFUTES", "REFUTES": "SUPPORTS"}
NEITHER = "NOT ENOUGH INFO"
_SIGNS = (("-LRB-", "("), ("-RRB-", ")"), ("-LSB-", "["), ("-RSB-", "]"), ("-COLON-", ":"))


def page_title(page: str) -> str:
    """`Soul_Food_-LRB-film-RRB-` -> `Soul Food (film)`."""
    for code, sign in _SIGNS:
        page = page.replace(code, sign)
    return page.replace("_", " ")


def _page(row: Row) -> str | None:
    """The page of the first piece of evidence; None where it is a sentence or names no page."""
    here = row.data.get("evidence")
    for _ in range(2):
        if not isinstance(here, (list, tuple)) or not here:
            return None
        here = here[0]
    if not isinstance(here, (list, tuple)) or len(here) < 3 or not isinstance(here[2], str):
        return None
    return page_title(here[2])


def _fever(row: Row) -> Iterator[Record]:
    claim = row.text("claim")
    column = "gold_label" if row.has("gold_label") else "label"
    label = row.text(column)
    if label == NEITHER:
        # No other verdict exists to edit to; as it is never edited, it is a fair unrelated
        # question.
        row.shared["undecided"] = Probe(claim, label, "undecided claim")
        raise RowError(
            f"field `{column}` is {quote(label)}, which has no other label to edit to; "
            "the claim is only asked as an unrelated question of later rows"
        )
    if label not in OTHER:
        raise RowError(
            f"field `{column}` must be SUPPORTS, REFUTES or NOT ENOUGH INFO, found {quote(label)}"
        )
    undecided = row.shared.get("undecided")
    yield Record(
        prompt=claim,
        target=OTHER[label],
        id=row_id(row, "id"),
        subject=_page(row),
        locality=() if undecided is None else (undecided,),
        old=label,
        line=row.line,
    )


def _fever_mend(row: Row) -> Iterator[Record]:
    yield Record(
        prompt=row.text("prompt"),
        target=row.text("alt"),
        id=row_id(row),
        rephrases=row.texts("equiv_prompt"),
        locality=one_probe(row, "unrel_prompt", "unrel_ans"),
        line=row.line,
    )


FEVER = DataForm(
    "fever",
    "FEVER claims with their verdict; the edit is to the other verdict",
    ("claim", "label"),
    (
        ("claim", "prompt"),
        ("label", "target (the other label), old"),
        ("gold_label", "target (the other label), old; taken before label"),
        ("id", "id"),
        ("evidence[0][0][2]", "subject (title of the page)"),
    ),
    _fever,
)
FEVER_MEND = DataForm(
    "fever-mend",
    "FEVER as prepared for MEND and MALMEN, with paraphrases",
    ("prompt", "alt", "equiv_prompt"),
    (
        ("prompt", "prompt"),
        ("alt", "target"),
        ("equiv_prompt", "rephrases"),
        ("unrel_prompt", "locality"),
        ("unrel_ans", "locality"),
    ),
    _fever_mend,
)
