"""The hand-written templates: enough of them, well formed, none shared, none with two articles."""

from __future__ import annotations

import re

import duckdb
import pytest

from ultraeditbench.classes import CODE
from ultraeditbench.relations import Relation, from_label, resolve, templates

WORDED = [relation for relation in templates()[0].values() if relation.skip is None]


def forms(relation: Relation) -> list[str]:
    return [w for group in (relation.ask, relation.cloze) for ws in group.values() for w in ws]


def test_at_least_200_relations_with_at_least_four_forms() -> None:
    assert len(WORDED) >= 200
    for relation in WORDED:
        questions, beginnings = relation.questions("any"), relation.beginnings("any")
        assert len(questions) >= 3, relation.id
        assert beginnings, relation.id
        assert len({*questions, *beginnings}) >= 4, relation.id


@pytest.mark.parametrize("relation", WORDED, ids=lambda relation: relation.id)
def test_forms_are_well_made(relation: Relation) -> None:
    assert relation.domain in CODE
    assert relation.range in CODE
    for wordings in relation.ask.values():
        for wording in wordings:
            assert wording.count("{s}") == 1, wording
            assert wording.endswith("?"), wording
            assert wording[0].isupper(), wording
    for wordings in relation.cloze.values():
        for wording in wordings:
            assert wording.count("{s}") == 1, wording
            assert wording[0].isupper() or wording.startswith("{s}"), wording
            # the answer follows as a bare name: an article before it would be wrong for half of
            # them
            assert not re.search(r"\b(?:a|an|the)$", wording), wording
            assert wording[-1] not in ".?:", wording
    for wording in forms(relation):
        # an article belongs to the mention of the subject, never to the wording
        assert not re.search(r"\b(?:a|an|the|this|a certain) \{s\}", wording, re.I), wording
        assert "  " not in wording
    if relation.noun:
        assert relation.noun.count("{s}") == 1
        assert relation.noun.startswith("the ")


@pytest.mark.parametrize("relation", WORDED, ids=lambda relation: relation.id)
def test_what_a_relation_is_not_asked_of_is_well_formed(relation: Relation) -> None:
    assert set(relation.never) <= set(CODE)
    assert relation.names in (None, "river", "team")
    for pattern in (relation.refuse_subject, relation.refuse_answer):
        if pattern is not None:
            # the patterns are run by the database
            assert duckdb.execute("SELECT regexp_matches('', ?)", [pattern]).fetchone()


def test_no_wording_serves_two_relations() -> None:
    seen: dict[str, str] = {}
    for relation in WORDED:
        for wording in set(forms(relation)):
            assert seen.setdefault(wording, relation.id) == relation.id, wording


@pytest.mark.parametrize(
    ("text", "pid"),
    [
        ("P19", "P19"),
        ("place of birth", "P19"),
        ("religion or worldview", "P140"),
        ("Lyricist", "P676"),
        ("has part(s)", "P527"),
    ],
)
def test_ids_and_labels_find_the_same_relation(text: str, pid: str) -> None:
    found = resolve(text, {})
    assert found is not None
    assert found.id == pid


def test_a_label_of_the_input_names_an_unknown_id() -> None:
    found = resolve("P99999", {"P99999": "mascot"})
    assert found is not None
    assert found.questions("any")[0] == "What is the mascot of {s}?"
    assert resolve("P99999", {}) is None


@pytest.mark.parametrize(
    "label", ["different from", "located in ward", "uses", "topic of list", "x/y", "a b c d e"]
)
def test_labels_without_good_english_are_refused(label: str) -> None:
    assert from_label(label, label).skip


@pytest.mark.parametrize(
    ("label", "question"),
    [
        ("sculpted by", "Who or what is {s} sculpted by?"),
        ("has facility", "What is the facility of {s}?"),
        ("landscape architect", "Who is the landscape architect of {s}?"),
    ],
)
def test_fallback_wordings(label: str, question: str) -> None:
    relation = from_label(label, label)
    assert relation.questions("any")[0] == question
    assert len(forms(relation)) >= 4
    assert not relation.own
