"""The bundled requests keep the promises of their README."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from ultraedit.data.bundled import anchor_text, facts_path, requests_path
from ultraedit.data.requests import KINDS, Request, bundled_requests
from ultraedit.evaluation import match
from ultraedit.evaluation.chat.checks import CHECKS

PLAIN = frozenset(
    match.normalise(
        "a an the of in on to is are was do does did i you it me my what which who how when where "
        "why at for and or that there give write name tell be with can should short"
    ).split()
)
"""Words that requests about different things share."""
NEAR = 0.75
"""Share of words in common from which two questions count as one."""


def words(text: str) -> frozenset[str]:
    return frozenset(match.normalise(text).split()) - PLAIN


def near(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= NEAR * len(one | other)


@pytest.fixture(scope="module")
def score() -> list[Request]:
    return bundled_requests("score")


@pytest.fixture(scope="module")
def anchors() -> list[Request]:
    return bundled_requests("anchor")


def test_there_are_enough_of_each_kind(score: list[Request], anchors: list[Request]) -> None:
    found = Counter(r.kind for r in score)
    least = {"fact": 100, "everyday": 60, "system": 20, "turns": 20, "instruction": 60}
    assert {kind: n for kind, n in least.items() if found[kind] < n} == {}
    assert set(found) == set(KINDS) == set(least)
    assert len(score) >= 240
    assert len(anchors) >= 80
    assert {r.kind for r in anchors} == {"fact", "everyday"}


def test_every_row_has_the_same_fields_and_none_is_lost(
    score: list[Request], anchors: list[Request]
) -> None:
    rows = [json.loads(line) for line in requests_path().read_text(encoding="utf-8").splitlines()]
    fields = {"id", "kind", "split", "messages", "answers", "checks"}
    assert [row for row in rows if set(row) != fields] == []
    assert len(rows) == len(score) + len(anchors)
    assert max(Counter(row["id"] for row in rows).values()) == 1


def test_every_request_waits_for_an_answer(score: list[Request], anchors: list[Request]) -> None:
    for request in (*score, *anchors):
        roles = [role for role, _ in request.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"], request.id
        assert all(text and text == text.strip() for _, text in request.messages), request.id
        assert (request.kind == "turns") == (len(turns) > 1), request.id
        assert (roles[0] == "system") or request.kind != "system", request.id


def test_facts_have_answers_and_instructions_checks(score: list[Request]) -> None:
    for request in score:
        assert bool(request.answers) or request.kind not in ("fact",), request.id
        assert bool(request.checks) == (request.kind == "instruction"), request.id
        assert all(check["check"] in CHECKS for check in request.checks), request.id
    assert sum(bool(r.answers) for r in score if r.kind in ("system", "turns")) >= 20


def test_no_request_gives_its_answer_away(score: list[Request], anchors: list[Request]) -> None:
    given = [
        (request.id, answer)
        for request in (*score, *anchors)
        if request.kind == "fact"
        for answer in request.answers
        if match.contains(request.said, answer) and not answer.isdigit()
    ]
    assert given == []


def test_no_two_requests_of_a_split_are_the_same(
    score: list[Request], anchors: list[Request]
) -> None:
    for split in (score, anchors):
        said = Counter(match.normalise(r.said) for r in split)
        assert [text for text, n in said.items() if n > 1] == []


def test_nothing_that_is_scored_is_an_anchor(score: list[Request], anchors: list[Request]) -> None:
    """An editor may be fitted to the anchors, and to the bundled anchor text."""
    lines = anchor_text().splitlines()
    used = [(r.id, words(r.question)) for r in anchors]
    used += [(line, words(line)) for line in lines if 0 < len(line) < 200]
    scored = [(r.id, words(r.question)) for r in score]
    both = [
        (name, other)
        for name, one in scored
        for other, two in used
        if len(one) > 1 and near(one, two)
    ]
    assert both == []


def test_no_anchor_is_a_question_that_the_demo_scores(anchors: list[Request]) -> None:
    rows = [json.loads(line) for line in facts_path().read_text(encoding="utf-8").splitlines()]
    asked = [words(probe["prompt"]) for row in rows for probe in row["locality"]]
    assert [r.id for r in anchors if any(near(words(r.question), one) for one in asked)] == []


def test_no_request_is_about_a_bundled_fact(score: list[Request], anchors: list[Request]) -> None:
    rows = [json.loads(line) for line in facts_path().read_text(encoding="utf-8").splitlines()]
    subjects = [row["subject"] for row in rows]
    assert [
        (r.id, subject) for r in (*score, *anchors) for subject in subjects if subject in r.said
    ] == []


def test_near_finds_a_reworded_question_and_no_other() -> None:
    france = words("What is the capital of France?")
    assert near(france, words("The capital of France is"))
    assert not near(france, words("What is the capital of Chile?"))
