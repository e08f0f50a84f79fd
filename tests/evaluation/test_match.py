from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from ultraedit.evaluation import match


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Beatles!", "beatles"),
        ("U.S. Army", "us army"),
        ("“Quoted” — a dash", "quoted dash"),
        ("The The", "the the"),
        ("?!", "?!"),
        ("a theatre", "theatre"),
    ],
)
def test_normalise(text, plain):
    assert match.normalise(text) == plain


@pytest.mark.parametrize(
    ("generated", "answer", "exact", "contains"),
    [
        ("Paris.", "paris", True, True),
        ("It is the city of Paris, in France", "Paris", False, True),
        ("the museum", "US", False, False),
        ("born in 1914", "1", False, False),
        ("", "Paris", False, False),
        ("the answer is C++", "C++", False, True),
        ("彼は東京都に住む", "東京", False, True),
    ],
)
def test_exact_and_contains(generated, answer, exact, contains):
    assert match.exact(generated, answer) is exact
    assert match.contains(generated, answer) is contains


def test_repetition():
    assert match.repetition([1, 2]) == 0
    assert match.repetition([1, 2, 3, 4, 5]) == 0
    assert match.repetition([7] * 12) == pytest.approx(0.9)


WORDS = st.lists(
    st.sampled_from(["a", "A", "b", "c3", "don't", "é", "中", "-", "\n", "", "İ"]), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(
    said=WORDS.map(" ".join) | st.text(max_size=30),
    wanted=WORDS.map(" ".join) | st.text(max_size=30),
)
def test_rouge_is_that_of_the_package_rouge_score(said, wanted):
    theirs = RougeScorer(["rougeL"], use_stemmer=False).score(wanted, said)["rougeL"].fmeasure
    assert match.rouge_l(said, wanted) == theirs


def test_rouge_is_the_library_figure():
    # lcs of 3 words, 4 generated and 5 wanted: P 3/4, R 3/5, F1 2/3
    assert match.rouge_l("the cat sat down", "the cat sat on mats") == pytest.approx(2 / 3)
