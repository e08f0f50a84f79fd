"""`ultraedit ask`: an answer, two answers, and the form a prompt is put in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraedit.model.generate import answer
from ultraedit.model.load import load

from .conftest import Run


def test_the_answer_is_the_greedy_one(tiny: Path, run: Run) -> None:
    model, tokenizer = load(tiny)
    for form in ("raw", "chat"):
        expected = answer(model, tokenizer, ["Who?"], form, 8)[0]
        ran = run("ask", tiny, "Who?", "--form", form, "--max-new-tokens", 8, "--json")
        assert ran.code == 0 and ran.json["answer"] == expected and ran.json["form"] == form
        plain = run("ask", tiny, "Who?", "--form", form, "--max-new-tokens", 8)
        assert plain.out == expected + "\n" and plain.err == ""


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_an_edited_model_is_asked_as_it_was_edited(
    form: str, tiny: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "out"
    edited = run("edit", tiny, "Who?", "Ann", "--form", form, "--out", out, "--json").json
    asked = run("ask", out, "Who?", "--compare", tiny, "--json").json
    assert asked["form"] == form
    assert asked["answer"] == edited["after"]
    assert asked["base_answer"].startswith(edited["before"])  # a receipt shows the beginning


def test_both_answers_are_named(tiny: Path, run: Run) -> None:
    ran = run("ask", tiny, "Who?", "--compare", tiny, "--max-new-tokens", 4)
    assert ran.code == 0 and ran.out.count(str(tiny)) == 2


@pytest.mark.parametrize(
    ("prompt", "said"), [(" ", "the prompt is empty"), ("Who? " * 200, "the context of")]
)
def test_a_bad_prompt(prompt: str, said: str, tiny: Path, run: Run) -> None:
    ran = run("ask", tiny, prompt)
    assert ran.code == 2 and ran.out == ""
    assert ran.err.startswith("error: ") and said in ran.err and ran.err.count("\n") == 1
