"""Instructions that a program can verify, in the manner of IFEval (arXiv 2311.07911).

A check is a mapping: its name under `check`, and the settings of that name.  Each is a pure
function of the answer's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ultraedit.errors import DataError

# "Mr." and the like end no sentence
_SHORT = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|vs|etc|e\.g|i\.e|P\.S)\.", re.IGNORECASE)
_ENDS = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)")
_NUMBERED = re.compile(r"^\s*\d+[.)]\s+", re.MULTILINE)
_BULLET = re.compile(r"^\s*[-*\u2022]\s+\S", re.MULTILINE)
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")


def passes(text: str, check: Mapping[str, Any]) -> bool:
    """Does the answer do what the check asks?  An empty answer does nothing.

    Raises DataError for a check that is unknown or lacks a setting.
    """
    name = check.get("check")
    if name not in CHECKS:
        raise DataError(f"the check {name!r} is unknown: use one of {', '.join(CHECKS)}.")
    settings = {key: value for key, value in check.items() if key != "check"}
    answer = text.strip()
    try:
        return bool(answer) and CHECKS[name](answer, **settings)
    except TypeError as error:
        raise DataError(f"the check {dict(check)!r} has the wrong settings ({error}).") from error


def _within(count: int, least: int, most: int | None) -> bool:
    return count >= least and (most is None or count <= most)


def sentences(text: str, *, least: int, most: int | None = None) -> bool:
    """So many sentences; a last one without a full stop counts, a list's numbers do not."""
    plain = _SHORT.sub(r"\1", _NUMBERED.sub("", text))
    found = [part for part in _ENDS.split(plain) if re.search(r"\w", part)]
    return _within(len(found), least, most)


def words(text: str, *, least: int, most: int | None = None) -> bool:
    """So many words, which blanks set apart."""
    return _within(len(text.split()), least, most)


def lines(text: str, *, least: int, most: int | None = None) -> bool:
    """So many lines that are not empty."""
    return _within(len([line for line in text.splitlines() if line.strip()]), least, most)


def paragraphs(text: str, *, least: int, most: int | None = None) -> bool:
    """So many paragraphs, which empty lines set apart."""
    found = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    return _within(len(found), least, most)


def bullets(text: str, *, least: int, most: int | None = None) -> bool:
    """So many lines that begin with a dash, a star or a dot."""
    return _within(len(_BULLET.findall(text)), least, most)


def case(text: str, *, letters: str) -> bool:
    """All letters `lower` or `upper`."""
    wanted = text.lower() if letters == "lower" else text.upper()
    return text == wanted and any(c.isalpha() for c in text)


def contains(text: str, *, words: list[str]) -> bool:
    """Each of `words` stands in the text, as a whole word, in letters of any size."""
    return all(_count(text, word) for word in words)


def excludes(text: str, *, words: list[str]) -> bool:
    """None of `words` stands in the text."""
    return not any(_count(text, word) for word in words)


def repeats(text: str, *, word: str, least: int) -> bool:
    """`word` stands in the text at least so often."""
    return _count(text, word) >= least


def without(text: str, *, characters: str) -> bool:
    """None of the characters."""
    return not set(characters) & set(text)


def begins(text: str, *, opening: str) -> bool:
    """The answer begins with these words, in letters of any size."""
    return re.match(re.escape(opening) + r"(?!\w)", text, re.IGNORECASE) is not None


def ends(text: str, *, closing: str) -> bool:
    """The answer ends with these words; a full stop behind the last may be there or not."""
    return text.rstrip(" .").lower().endswith(closing.rstrip(" .").lower())


def is_json(text: str, *, keys: list[str]) -> bool:
    """The whole answer is JSON, in a code fence or not; an object with exactly these keys, where any
    are named."""
    try:
        found = json.loads(_FENCE.sub("", text))
    except ValueError:
        return False
    if keys:
        return isinstance(found, dict) and set(found) == set(keys)
    return isinstance(found, dict | list)


def title(text: str) -> bool:
    """A title in double angle brackets, and more text behind it."""
    found = re.search(r"<<[^<>\n]*\w[^<>\n]*>>", text)
    return found is not None and bool(text[found.end() :].strip())


def quoted(text: str) -> bool:
    """The whole answer stands in double quotation marks."""
    return len(text) > 2 and text[0] in '"\u201c' and text[-1] in '"\u201d'


def placeholders(text: str, *, least: int) -> bool:
    """So many words in square brackets."""
    return len(re.findall(r"\[[^\[\]\n]+\]", text)) >= least


def _count(text: str, word: str) -> int:
    """How often a word or a sign stands in a text, not as a part of a longer word."""
    left = r"(?<!\w)" if word[:1].isalnum() else ""
    right = r"(?!\w)" if word[-1:].isalnum() else ""
    return len(re.findall(left + re.escape(word) + right, text, re.IGNORECASE))


CHECKS: dict[str, Callable[..., bool]] = {
    "sentences": sentences,
    "words": words,
    "lines": lines,
    "paragraphs": paragraphs,
    "bullets": bullets,
    "case": case,
    "contains": contains,
    "excludes": excludes,
    "repeats": repeats,
    "without": without,
    "begins": begins,
    "ends": ends,
    "json": is_json,
    "title": title,
    "quoted": quoted,
    "placeholders": placeholders,
}
"""Name in the data -> function."""
