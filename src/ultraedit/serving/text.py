"""Text of an answer while it grows: whole characters only, and nothing behind a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

BROKEN = "\ufffd"
"""What a tokenizer decodes bytes to that are no character (yet)."""
BEHIND = 6
"""Tokens before a new one that are decoded with it: what a token's text is may depend on its neighbours."""
LONGEST_CHARACTER = 12
"""Tokens after which an unfinished character is taken to be none: the model said bytes that are no text."""


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], special: bool = False) -> str:
    """The text of tokens, with or without special ones; tokens that stand for nothing are left out."""
    try:
        return str(tokenizer.decode(list(ids), skip_special_tokens=not special))
    except (ValueError, OverflowError, TypeError, IndexError):
        # rows of the embedding that no token has, or ByT5's tokens that stand for no byte
        known = [i for i in ids if i < len(tokenizer) and i not in tokenizer.all_special_ids]
        return str(tokenizer.decode(known))


class Growing:
    """Decodes tokens one by one; the pieces together are what the prompt's text goes on with."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        before = list(prompt[-BEHIND:])
        if decode(tokenizer, before).endswith(BROKEN):  # a prompt that ends inside a character
            before = []
        self._ids = before
        self._begin = 0
        self._end = len(before)
        """Tokens up to here have been given out; those from `_begin` on are decoded again with new ones."""

    def add(self, token: int) -> str:
        """The text that one more token completes; "" where it ends inside a character."""
        self._ids.append(token)
        return self._new(len(self._ids) - self._end > LONGEST_CHARACTER)

    def rest(self) -> str:
        """What is left at the end; bytes that are no character are given out as such."""
        return self._new(True)

    def _new(self, whatever: bool) -> str:
        known = decode(self._tokenizer, self._ids[self._begin : self._end])
        both = decode(self._tokenizer, self._ids[self._begin :])
        if len(both) <= len(known) or (both.endswith(BROKEN) and not whatever):
            return ""
        self._begin, self._end = max(self._begin, self._end - BEHIND), len(self._ids)
        del self._ids[: self._begin]
        self._begin, self._end = 0, len(self._ids)
        return both[len(known) :]


class Stops:
    """Holds text back while it may be the beginning of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def add(self, text: str) -> tuple[str, bool]:
        """(text that can be given out, whether a stop text was met: what follows is never given out)."""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            given, self._held = self._held[: min(found)], ""
            return given, True
        keep = max((self._begun(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        given, self._held = self._held[:cut], self._held[cut:]
        return given, False

    def rest(self) -> str:
        """What was held back, once the answer is over."""
        given, self._held = self._held, ""
        return given

    def _begun(self, stop: str) -> int:
        """How many characters at the end are the beginning of a stop text."""
        for count in range(min(len(stop) - 1, len(self._held)), 0, -1):
            if self._held.endswith(stop[:count]):
                return count
        return 0
