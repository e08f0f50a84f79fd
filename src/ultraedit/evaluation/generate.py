"""Greedy answers of questions, and where they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultraedit.evaluation.forward import Forward
from ultraedit.model.generate import as_text, stop_token_ids
from ultraedit.model.runner.decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Generation:
    """One greedy answer."""

    text: str
    """Decoded without special tokens, stripped; where the newline stop is on, the first line with
    text in it."""
    ids: tuple[int, ...]
    """The generated tokens, an end-of-text token not included."""
    stopped: bool
    """The model ended by itself (end token or newline), not by the limit on tokens."""


class Generator:
    """Greedy decoding of a live model.  `batch` prompts at once; it changes no answer, ties aside.

    An answer ends at any end-of-text token of the tokenizer or of the generation config, and, with
    `stop_at_newline`, at the first newline after visible text (base models begin an answer with
    newlines and end it with one).
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, batch: int = 50
    ) -> None:
        self.forward = Forward(model)
        self._tokenizer = tokenizer
        self._batch = batch
        self._ends = stop_token_ids(model, tokenizer)
        self._pieces: dict[int, str] = {}

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int = 32,
        stop_at_newline: bool = True,
        on_answers: Callable[[int], None] | None = None,
    ) -> list[Generation]:
        """One answer per prompt of token ids, in the order given.  Raises DataError past the
        context.

        `on_answers` is called after each batch with the number of answers it gave.
        """
        for prompt in sorted(prompts, key=len)[-1:]:
            self.forward.fits(len(prompt) + 1, "a prompt and one token of answer")
        found = decode(
            self.forward.model,
            prompts,
            max_new_tokens,
            self._ends,
            batch_size=self._batch,
            longest_first=False,
            on_answers=on_answers,
            ended=self._ends_line if stop_at_newline else None,
        )
        return [
            Generation(self._text(c.ids, stop_at_newline), tuple(c.ids), c.stopped) for c in found
        ]

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = str(self._tokenizer.decode([token]))
        return self._pieces[token]

    def _ends_line(self, ids: Sequence[int]) -> bool:
        last = self._piece(ids[-1])
        if "\n" not in last:
            return False
        before = any(self._piece(t).strip() for t in ids[:-1])
        return before or "\n" in last.lstrip()

    def _text(self, ids: Sequence[int], first_line: bool) -> str:
        text = as_text(self._tokenizer, ids)
        return text.partition("\n")[0].strip() if first_line else text
