"""Is the generated text the answer?  Pure functions on strings."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
# scripts written without spaces between words: Thai to Khmer, and everything from CJK radicals up
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff]")


def normalise(text: str) -> str:
    """Lower case, without punctuation and English articles, spaces collapsed (the rule of SQuAD's
    scorer).

    A text of nothing but articles or punctuation is only lower-cased and stripped, so that no
    answer is empty.
    """
    plain = unicodedata.normalize("NFC", text).lower()
    bare = "".join(c for c in plain if not _is_punctuation(c))
    words = " ".join(_ARTICLES.sub(" ", bare).split())
    return words or " ".join(bare.split()) or plain.strip()


def _is_punctuation(char: str) -> bool:
    return char in string.punctuation or unicodedata.category(char).startswith("P")


def exact(generated: str, answer: str) -> bool:
    """The same text once both are normalised."""
    return normalise(generated) == normalise(answer)


def contains(generated: str, answer: str) -> bool:
    """The normalised answer stands in the normalised text as whole words (`us` is not in
    `museum`)."""
    return holds(normalise(generated), normalise(answer))


def holds(text: str, wanted: str) -> bool:
    """`contains` of texts that are normalised already."""
    if _NO_SPACES.search(wanted):
        return wanted in text
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) is not None


def repetition(ids: Sequence[int], size: int = 3) -> float:
    """Share of runs of `size` tokens that occurred before in the same text: 0 for no repeats, near
    1 for a loop."""
    grams = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def rouge_l(generated: str, answer: str) -> float:
    """ROUGE-L F1 of Lin (2004), without stemming: for answers of a sentence or a paragraph.

    The figure is that of the package rouge-score, to the bit: words are runs of a to z and 0 to 9 in the text in
    small letters, so that a text in another script scores 0.
    """
    said, wanted = (re.findall("[a-z0-9]+", text.lower()) for text in (generated, answer))
    common = _common(wanted, said)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence; one line of its table is held."""
    line = [0] * (len(other) + 1)
    for word in one:
        corner = 0  # the entry above and to the left
        for j, candidate in enumerate(other, start=1):
            above = line[j]
            line[j] = corner + 1 if word == candidate else max(above, line[j - 1])
            corner = above
    return line[-1]
