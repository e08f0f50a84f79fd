"""Greedy answers in batches: left padding, key-value cache, rows leave the batch when they have
ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ultraedit.evaluation.forward import Forward, pad_left
from ultraedit.model.generate import as_text, stop_token_ids
from ultraedit.model.keeps import kept, new_cache
from ultraedit.model.steady import steady

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

    @torch.no_grad()
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
        results: list[Generation | None] = [None] * len(prompts)
        for chosen in self._batches([len(p) for p in prompts], max_new_tokens):
            self.forward.fits(len(prompts[chosen[-1]]) + 1, "a prompt and one token of answer")
            with steady(self.forward.model):
                answers = self._run([prompts[i] for i in chosen], max_new_tokens, stop_at_newline)
            for i, (ids, stopped) in zip(chosen, answers, strict=True):
                results[i] = Generation(self._text(ids, stop_at_newline), tuple(ids), stopped)
            if on_answers is not None:
                on_answers(len(chosen))
        return [r for r in results if r is not None]

    def _batches(self, lengths: Sequence[int], limit: int) -> list[list[int]]:
        """Prompts of like length together, shortest first; of one length only, where the longest answer would end
        behind the context, so that no row needs more columns than that."""
        found: list[list[int]] = []
        for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
            alike = found and lengths[row] in (lengths[found[-1][0]], lengths[found[-1][-1]])
            near = lengths[row] + limit > self.forward.context
            if not found or len(found[-1]) == self._batch or (near and not alike):
                found.append([])
            found[-1].append(row)
        return found

    def _run(
        self, prompts: Sequence[Sequence[int]], limit: int, stop_at_newline: bool
    ) -> list[tuple[list[int], bool]]:
        ids, mask = pad_left(prompts)
        answers: list[list[int]] = [[] for _ in prompts]
        stopped = [False] * len(prompts)
        rows = list(range(len(prompts)))  # which prompt each row of the batch is
        going = set(rows)
        cache = new_cache(self.forward.model)
        plain = kept(self.forward.model) == "keys and values"
        for _ in range(limit):
            hidden, _ = self.forward.run(ids, mask, cache)
            choice = self.forward.logits(hidden[:, -1]).argmax(-1).cpu()
            keep = []
            for at, (row, token) in enumerate(zip(rows, choice.tolist(), strict=True)):
                if row not in going:
                    continue
                if token in self._ends:
                    stopped[row] = True
                    continue
                answers[row].append(token)
                if stop_at_newline and self._ends_line(answers[row]):
                    stopped[row] = True
                    continue
                if len(prompts[row]) + len(answers[row]) < self.forward.context:
                    keep.append(at)
            going = {rows[k] for k in keep}
            if not keep:
                break
            if len(keep) < len(rows) and plain and cache is not None:
                index = torch.tensor(keep)
                cache.batch_select_indices(index.to(self.forward.device))
                mask, choice, rows = mask[index], choice[index], [rows[k] for k in keep]
            ids = choice[:, None] if cache is not None else torch.cat([ids, choice[:, None]], dim=1)
            mask = torch.cat([mask, torch.ones_like(choice[:, None])], dim=1)
        return list(zip(answers, stopped, strict=True))

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
