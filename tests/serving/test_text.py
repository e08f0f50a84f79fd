"""Text of growing answers: whole characters, and nothing behind a stop text."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from ultraedit.serving.text import BROKEN, Growing, Stops, decode

WORDS = "Ida Krol, 東京 café 🙂 é́ — naïve\n\ttab 👩‍👩‍👧 end"


def pieces(tokenizer, prompt: list[int], ids: list[int]) -> list[str]:
    growing = Growing(tokenizer, prompt)
    return [*(growing.add(token) for token in ids), growing.rest()]


def test_characters_of_many_tokens_come_whole() -> None:
    tokenizer = tiny.tokenizer()
    ids = tokenizer(WORDS, add_special_tokens=False)["input_ids"]
    found = pieces(tokenizer, [1], ids)
    assert "".join(found) == WORDS
    assert not any(BROKEN in piece for piece in found)
    assert len(ids) > len(WORDS)  # so some pieces had to wait


@given(st.text(max_size=40), st.integers(0, 20))
def test_pieces_are_the_text(text: str, cut: int) -> None:
    tokenizer = tiny.tokenizer()
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    whole = decode(tokenizer, ids)
    before = decode(tokenizer, ids[:cut])
    if before.endswith(
        BROKEN
    ):  # the prompt ends inside a character: only what begins after it counts
        return
    assert "".join(pieces(tokenizer, ids[:cut], ids[cut:])) == whole[len(before) :]


def test_bytes_that_are_no_character_are_given_out_as_such() -> None:
    tokenizer = tiny.tokenizer()
    ids = list(tokenizer("é", add_special_tokens=False)["input_ids"])
    found = pieces(tokenizer, [1], [ids[0], *tokenizer("a", add_special_tokens=False)["input_ids"]])
    assert "".join(found) == BROKEN + "a"


def test_random_bytes_come_in_the_end() -> None:
    tokenizer = tiny.tokenizer()
    dice = random.Random(0)
    for _ in range(50):
        ids = [dice.randrange(3, 259) for _ in range(30)]
        assert "".join(pieces(tokenizer, [1], ids)) == decode(tokenizer, ids)


def test_a_blank_between_prompt_and_answer_is_kept() -> None:
    tokenizer = tiny.sentencepiece()
    ids = list(tokenizer("The capital of Vell is Oruna", add_special_tokens=False)["input_ids"])
    assert "".join(pieces(tokenizer, ids[:-1], ids[-1:])) == " Oruna"


@pytest.mark.parametrize(
    ("stops", "parts", "said", "met"),
    [
        (["END"], ["abE", "N", "Dxyz"], "ab", True),
        (["END"], ["abE", "N", "X"], "abENX", False),
        (["\n\n", "."], ["one\n", "\ntwo."], "one", True),
        (["aab"], ["aa", "aab"], "aa", True),
        ([], ["a", "b"], "ab", False),
        (["ab", "b"], ["xa", "b"], "x", True),
    ],
)
def test_stop_texts(stops: list[str], parts: list[str], said: str, met: bool) -> None:
    watch = Stops(stops)
    given_out = ""
    for part in parts:
        text, over = watch.add(part)
        given_out += text
        if over:
            break
    assert over == met
    if not over:
        given_out += watch.rest()
    assert given_out == said
