"""One row of the plan into one finished record: wordings chosen, subject named, text gates applied.

Knows nothing of files.  Which wording is used is decided by the record's id alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from ultraeditbench.articles import is_dated
from ultraeditbench.classes import CLASSES
from ultraeditbench.phrases import PLURAL_VERBS, fill, mention, persona, words
from ultraeditbench.relations import Relation

SPLITS = ("train", "dev", "eval")


class PlanRow(NamedTuple):
    """A row of the table `plan`, in its column order; labels where nothing else is said."""

    i: int
    variant: int
    split: int
    r: int
    s: str
    s_cls: int
    s_id: str | None
    t: str
    t_cls: int
    t_id: str | None
    old: str | None
    near_s: str | None
    near_cls: int
    near_o: str | None
    own_r: int | None
    own_o: str | None
    far_s: str | None
    far_cls: int
    far_r: int | None
    far_o: str | None
    hop_r: int | None
    hop_o: str | None


@dataclass(slots=True)
class Draft:
    """A record before it is written."""

    id: str
    split: str
    relation: Relation
    row: PlanRow
    prompt: str
    rephrase: str
    rephrases: list[str]
    personas: list[str]
    locality: list[dict[str, str]]
    portability: list[dict[str, str]]
    conflicts_with: str | None = None
    rewritten: bool = field(default=False)

    def as_dict(self, kind: str) -> dict[str, Any]:
        """The record under the names of the output schema."""
        first = self.locality[0]
        return {
            "id": self.id,
            "prompt": self.prompt,
            "rephrase_prompt": self.rephrase,
            "ans": self.row.t,
            "loc": first["prompt"],
            "loc_ans": first["answer"],
            "subject": self.row.s,
            "split": self.split,
            "kind": kind,
            "old": self.row.old,
            "relation": self.relation.id,
            "relation_label": self.relation.label,
            "subject_id": self.row.s_id,
            "answer_id": self.row.t_id,
            "rephrases": self.rephrases,
            "locality": self.locality,
            "personas": self.personas,
            "portability": self.portability,
            "conflicts_with": self.conflicts_with,
            "rewritten": self.rewritten,
        }


def record_id(kind: str, relation: str, subject: str, target: str) -> str:
    """16 hex digits that depend on the edit alone: kind, relation, subject (in small letters) and
    target."""
    text = "\n".join((kind, relation, subject.lower(), target))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def _class(relation: Relation, code: int, label: str) -> str:
    """The class of a subject in a question with this relation: only people have fathers, whatever
    else goes by their name, what has a year in front happens, and what is released is a work."""
    if relation.domain == "person":
        return "person"
    if relation.names and CLASSES[code] in ("any", "org" if relation.names == "team" else "place"):
        return relation.names
    if code == 0 and relation.titles and not label[0].isdigit():
        return "work"
    dated = code == 0 and is_dated(label) and label.count(" ") > 1
    return "event" if dated else CLASSES[code]


def _turn(items: tuple[str, ...], by: int) -> tuple[str, ...]:
    if not items:
        return items
    by %= len(items)
    return items[by:] + items[:by]


class _Needle(NamedTuple):
    """An answer to look for: its first word, for a quick look, and all its words."""

    first: str
    normal: str


@lru_cache(maxsize=200_000)
def _needle(answer: str) -> _Needle:
    normal = words(answer)
    return _Needle(normal[1:].split(" ", 1)[0], normal)


def _leaks(text: str, needles: Sequence[_Needle]) -> bool:
    """Whether one of the answers stands in the text as whole words."""
    return bool(needles) and any(needle.normal in words(text) for needle in needles)


class _Forms(NamedTuple):
    """The wordings of one relation for one class of subjects."""

    questions: tuple[str, ...]
    clozes: tuple[str, ...]
    letters: str
    """Everything that any wording can contribute to a text, in small letters."""

    def turned(self, by: int) -> tuple[str, ...]:
        """The questions and then the beginnings, each from another one on."""
        return _turn(self.questions, by) + _turn(self.clozes, by)

    def possible(self, named: str, answers: Iterable[str]) -> tuple[_Needle, ...]:
        """The answers whose first word stands in a wording or in the subject at all: the others
        cannot leak, and need no look at each finished text."""
        letters = self.letters + named.casefold()
        return tuple(n for n in map(_needle, answers) if n.first in letters)


class Composer:
    """Makes drafts from plan rows.  `relations` is indexed by the plan's relation numbers."""

    def __init__(self, relations: Sequence[Relation], kind: str) -> None:
        self.relations = relations
        self.kind = kind
        self._known: dict[tuple[str, str], _Forms] = {}

    def _forms(self, relation: Relation, cls: str) -> _Forms:
        forms = self._known.get((relation.id, cls))
        if forms is None:
            questions, clozes = relation.questions(cls), relation.beginnings(cls)
            letters = " ".join((*questions, *clozes, PLURAL_VERBS)).casefold()
            forms = self._known[relation.id, cls] = _Forms(questions, clozes, letters + " ")
        return forms

    def _probe(
        self,
        kind: str,
        subject: str,
        cls: str,
        relation: Relation,
        answer: str,
        turn: int,
        taken: set[str],
    ) -> dict[str, str] | None:
        """A question on another fact, in a wording that the edit does not use; None where every
        one leaks."""
        named, forms = mention(subject, cls), self._forms(relation, cls)
        if named is None:
            return None
        needles = forms.possible(named, (answer,))
        for form in forms.turned(turn):
            if form in taken:
                continue
            text = fill(form, named)
            if text is not None and not _leaks(text, needles):
                return {"prompt": text, "answer": answer, "kind": kind}
        return None

    def _locality(
        self, row: PlanRow, relation: Relation, turn: int, taken: set[str]
    ) -> list[dict[str, str]]:
        found = []
        if row.far_s is not None and row.far_r is not None and row.far_o is not None:
            far = self.relations[row.far_r]
            cls = _class(far, row.far_cls, row.far_s)
            found.append(self._probe("unrelated", row.far_s, cls, far, row.far_o, turn, set()))
        if row.near_s is not None and row.near_o is not None:
            cls = _class(relation, row.near_cls, row.near_s)
            found.append(
                self._probe("same_relation", row.near_s, cls, relation, row.near_o, turn, taken)
            )
        if row.own_r is not None and row.own_o is not None:
            own = self.relations[row.own_r]
            cls = _class(own, row.s_cls, row.s)
            found.append(self._probe("same_subject", row.s, cls, own, row.own_o, turn, set()))
        return [probe for probe in found if probe is not None]

    def _two_hop(self, row: PlanRow, relation: Relation, named: str) -> list[dict[str, str]]:
        if row.hop_r is None or row.hop_o is None or relation.noun is None:
            return []
        hop = self.relations[row.hop_r]
        needles = (_needle(row.hop_o), _needle(row.t))
        inner = relation.noun.replace("{s}", named)
        # the first wording of a relation is its plainest; a long subject needs that
        for form in hop.questions(CLASSES[row.t_cls]):
            text = fill(form, inner)
            if text is not None and not _leaks(text, needles):
                return [{"prompt": text, "answer": row.hop_o, "kind": "two_hop"}]
        return []

    def compose(self, row: PlanRow) -> Draft | str:
        """The finished draft, or the name of the gate that it failed."""
        relation = self.relations[row.r]
        name = record_id(self.kind, relation.id, row.s, row.t)
        turn = int(name[:8], 16)
        cls = _class(relation, row.s_cls, row.s)
        named = mention(row.s, cls)
        if named is None:
            return "whether the subject takes an article is not known"
        forms = self._forms(relation, cls)
        needles = forms.possible(named, (row.t,) if row.old is None else (row.t, row.old))
        usable = [
            (form, text)
            for form in forms.turned(turn)
            if (text := fill(form, named)) is not None and not _leaks(text, needles)
        ]
        asked = [(form, text) for form, text in usable if form in forms.questions]
        if not asked or len(usable) < 3:
            return "answer stands in too many of the wordings"
        (edit_form, prompt) = asked[0]
        rest = [pair for pair in usable if pair[0] != edit_form]
        ends = [pair for pair in rest if pair[0] in forms.clozes]
        # every fourth rephrase is a cloze, the others are questions
        rephrase_form, rephrase = ends[0] if ends and turn % 4 == 0 else rest[0]
        taken = {edit_form, rephrase_form}
        locality = self._locality(row, relation, turn + 1, taken)
        if not locality:
            return "no locality probe in the same split"
        spare = [text for form, text in rest if form not in taken][-2:]
        first = (
            record_id(self.kind, relation.id, row.s, row.old) if row.variant and row.old else None
        )
        return Draft(
            name, SPLITS[row.split], relation, row, prompt, rephrase, spare,
            [persona(prompt, turn >> 4)],
            locality, self._two_hop(row, relation, named), first,
        )  # fmt: skip
