"""The page's files by themselves: what they refer to is there, and nothing in them makes markup out of text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from page.conftest import Open
from page.fake import PAGE, FakeServer

FILES = sorted(PAGE.iterdir())
MAKES_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML"
    r"|\beval\(|new Function"
)


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix == ".js"], ids=lambda f: f.name)
def test_a_module_makes_no_markup_and_imports_what_is_there(file: Any) -> None:
    text = file.read_text(encoding="utf-8")
    assert MAKES_MARKUP.findall(text) == []
    for name in re.findall(r'from "\./([^"]+)"', text):
        assert (PAGE / name).is_file(), name
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []


def test_the_document_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    assert (
        re.findall(
            r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|//",
            text.replace("<!doctype html>", ""),
        )
        == []
    )
    named = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert sorted(named) == ["icon.svg", "main.js", "page.css", "theme.js"]
    for name in named:
        assert (PAGE / name).is_file(), name


def test_every_file_is_of_a_kind_that_is_served() -> None:
    assert {file.suffix for file in FILES} == {".html", ".js", ".css", ".svg"}
    assert all(file.is_file() for file in FILES)


COMPARED: list[tuple[str, str, bool, list[str], list[str]]] = [
    ("It is in Rome, Italy.", "It is in Oslo, Norway.", False, ["Rome, Italy."], ["Oslo, Norway."]),
    ("The same", "the same.", False, [], []),  # letters' case and punctuation are no other answer
    ("one two three", "one three", False, ["two "], []),
    ("", "Ida Krol", False, [], ["Ida Krol"]),
    # while they grow, what only one side has yet does not differ; nor does a word that is not whole
    ("a b c d", "a x", True, [], []),
    ("a b c d", "a x c", True, ["b "], ["x "]),
]


def test_which_words_differ(open_page: Open) -> None:
    page = open_page()
    for a, b, growing, left, right in COMPARED:
        found = page.evaluate(
            """async ([a, b, growing]) => {
                const { compare } = await import("/diff.js");
                const runs = compare(a, b, growing);
                return [runs.map(side => side.map(run => run.text).join("")),
                        ...runs.map(side => side.filter(run => run.differs).map(run => run.text))];
            }""",
            [a, b, growing],
        )
        texts, *marked = found
        assert texts == [a, b]
        assert [[m.strip() for m in side] for side in marked] == [
            [m.strip() for m in side] for side in (left, right)
        ], (a, b)


TABLES: list[tuple[str, list[tuple[int, str, str, list[str]]]]] = [
    ("Prompt,Target\r\nA?,a\r\n\r\nB?,b", [(2, "A?", "a", []), (4, "B?", "b", [])]),
    ('prompt,target\n"A, or ""B""?","a\nb"\nC?,c', [(2, 'A, or "B"?', "a\nb", []), (4, "C?", "c", [])]),
    ("question\tanswer\nA, B?\ta", [(2, "A, B?", "a", [])]),
    ("prompt;target\nA?;a", [(2, "A?", "a", [])]),
    ('[{"prompt": "A?", "target": "a"}, 3]', [(1, "A?", "a", []), (2, "3", "", ["is not an object"])]),
    ('{"prompt": "A?", "target": ""}', [(1, "A?", "", ["has no answer"])]),
    ('{"prompt": "A?", "target": "a", "rephrases": [1]}', [(1, "A?", "a", ["has wordings that are not texts"])]),
    ("prompt,target\n" + "x" * 20_001 + ",a", [(2, "x" * 80, "a", ["has a question of more than 20,000 characters"])]),
]  # fmt: skip


def test_tables_are_read_as_they_are_written(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    for text, rows in TABLES:
        found = page.evaluate(
            """async text => {
                const { readTable } = await import("/rows.js");
                return readTable(text).rows.map(row => [row.line, row.fact.prompt, row.fact.target, row.problems]);
            }""",
            text,
        )
        assert [tuple(row) for row in found] == rows, text
