"""Each check says yes to an answer that does as told, and no to one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from ultraedit.data.requests import bundled_requests
from ultraedit.errors import DataError
from ultraedit.evaluation.chat.checks import CHECKS, passes

CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"check": "sentences", "least": 2, "most": 2},
        ["One. Two.", "Is it? Yes", "Dr. Lee came. She left!"],
        ["One.", "One. Two. Three.", "1. Only this"],
    ),
    ({"check": "sentences", "least": 2}, ["A b. C d. E f."], ["A b c"]),
    (
        {"check": "words", "least": 2, "most": 3},
        ["two words", "three whole words"],
        ["one", "there are four words"],
    ),
    ({"check": "words", "least": 1, "most": 1}, ["Yes.", "water"], ["Fish live here", ""]),
    ({"check": "lines", "least": 2, "most": 2}, ["one\n\ntwo", "one\ntwo\n"], ["one", "a\nb\nc"]),
    (
        {"check": "paragraphs", "least": 2, "most": 2},
        ["One.\n\nTwo.", "One\nstill.\n \nTwo."],
        ["One.\nTwo.", "One.\n\nTwo.\n\nThree."],
    ),
    (
        {"check": "bullets", "least": 3, "most": 3},
        ["- a\n- b\n- c", "Sure:\n* a\n* b\n* c"],
        ["- a\n- b", "a - b - c", "- a\n- b\n- c\n- d"],
    ),
    ({"check": "case", "letters": "lower"}, ["all small, 3 of them"], ["Not small", "123"]),
    ({"check": "case", "letters": "upper"}, ["ALL LARGE!"], ["Not LARGE", "..."]),
    (
        {"check": "contains", "words": ["river", "P.S."]},
        ["The River is wide. P.S. Come soon."],
        ["The river is wide.", "Rivers. P.S. Come soon."],
    ),
    (
        {"check": "excludes", "words": ["hot", "bright"]},
        ["It shines on a photo."],
        ["It is Hot.", "So bright!"],
    ),
    (
        {"check": "repeats", "word": "cold", "least": 2},
        ["Cold wind, cold rain."],
        ["Cold wind, colder rain."],
    ),
    ({"check": "without", "characters": ",!"}, ["None here."], ["One, here.", "Here!"]),
    (
        {"check": "begins", "opening": "No"},
        ["No, it is not.", "no"],
        ["Nobody knows.", "Well, no."],
    ),
    (
        {"check": "ends", "closing": "The end."},
        ["Birds fly. The end.", "Birds. the end"],
        ["The end. Or not", "Birds fly."],
    ),
    (
        {"check": "json", "keys": ["name", "age"]},
        ['{"name": "Al", "age": 3}', '```json\n{"age": 3, "name": "Al"}\n```'],
        ['{"name": "Al"}', 'Here: {"name": "Al", "age": 3}', "{name: Al}", '["name", "age"]'],
    ),
    ({"check": "json", "keys": []}, ['["a", "b"]', "{}"], ["a, b", '"a"']),
    (
        {"check": "title"},
        ["<<The stone>>\nIt lies.", "Here: <<Joy>> It is good."],
        ["The stone\nIt lies.", "<>\nIt lies.", "<<Only a title>>"],
    ),
    ({"check": "quoted"}, ['"Be kind."', "\u201cBe kind.\u201d"], ['Be "kind".', "Be kind.", '""']),
    (
        {"check": "placeholders", "least": 2},
        ["Dear [name], on [date]."],
        ["Dear [name].", "Dear name, on date."],
    ),
]


@pytest.mark.parametrize(("check", "good", "bad"), CASES, ids=[c[0]["check"] for c in CASES])
def test_a_check_tells_good_from_bad(
    check: dict[str, Any], good: list[str], bad: list[str]
) -> None:
    assert [text for text in good if not passes(text, check)] == []
    assert [text for text in bad if passes(text, check)] == []


def test_every_check_is_tried_above_and_used_in_the_data() -> None:
    used = {check["check"] for request in bundled_requests() for check in request.checks}
    assert {case[0]["check"] for case in CASES} == set(CHECKS) == used


@pytest.mark.parametrize(
    "check", [check for r in bundled_requests() for check in r.checks], ids=str
)
def test_nothing_is_done_by_an_empty_answer(check: dict[str, Any]) -> None:
    assert not passes(" \n", check)


def test_an_unknown_check_or_setting_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'rhymes' is unknown: use one of sentences"):
        passes("a", {"check": "rhymes"})
    with pytest.raises(DataError, match="wrong settings"):
        passes("a", {"check": "words", "fewest": 2})
