"""The greedy decoder: batches with left padding and a key-value cache, which rows leave when they have ended.

Results do not depend on batch size or padding (ties in the logits aside).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from ultraedit.model.columns import counts_by_column
from ultraedit.model.context import context_length
from ultraedit.model.devices import is_spread
from ultraedit.model.keeps import kept, new_cache
from ultraedit.model.replace import head_logits
from ultraedit.model.runner.rows import pad_left, run_decoder
from ultraedit.model.steady import steady

Ended = Callable[[Sequence[int]], bool]
"""Whether an answer, given so far, is complete with its last token."""


@dataclass(frozen=True)
class Continuation:
    ids: list[int]
    """Without the stop token."""
    stopped: bool
    """It ended by itself, by a stop token or as `Ended` says, and not by the limit or the context."""


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    *,
    batch_size: int,
    longest_first: bool,
    ended: Ended | None = None,
    on_answers: Callable[[int], None] | None = None,
) -> list[Continuation]:
    """The most likely continuation of each prompt, in the caller's order.

    Prompts of like length are run together, to keep padding small.  An answer ends where the model's context does.
    `on_answers` is called after each batch with the number of answers it gave.
    """
    found: list[Continuation] = [Continuation([], stopped=False) for _ in prompts]
    with steady(model):  # where padding changes what is said, nobody may lie beside a longer one
        roomy = 0 if counts_by_column(model) else context_length(model) - max_new_tokens
    for rows in groups([len(p) for p in prompts], roomy, batch_size, longest_first):
        with steady(model):
            made = _batch(model, [prompts[r] for r in rows], max_new_tokens, stop_ids, ended)
        for row, continuation in zip(rows, made, strict=True):
            found[row] = continuation
        if on_answers is not None:
            on_answers(len(rows))
    return found


def groups(
    lengths: Sequence[int], roomy: int, batch_size: int, longest_first: bool
) -> list[list[int]]:
    """Rows that are run together: sorted by length, and of one length each where that is more than `roomy` tokens, so
    that a row beside a longer one has all of its own room."""
    sign = -1 if longest_first else 1
    found: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: sign * lengths[i]):
        crowded = (
            found
            and lengths[found[-1][0]] != lengths[row]
            and (max(lengths[found[-1][0]], lengths[row]) > roomy)
        )
        if not found or len(found[-1]) == batch_size or crowded:
            found.append([])
        found[-1].append(row)
    return found


def _batch(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    limit: int,
    stop_ids: frozenset[int],
    ended: Ended | None,
) -> list[Continuation]:
    context = context_length(model)
    ids, mask = pad_left(prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    rows = list(range(len(prompts)))  # which prompt each row of the batch is
    going = {row for row in rows if len(prompts[row]) < context}
    cache = new_cache(model)
    leave = kept(model) == "keys and values" and cache is not None
    for _ in range(limit):
        if not going:
            break
        hidden = run_decoder(model, ids, mask, cache)
        choice = head_logits(model, hidden[:, -1]).argmax(-1).cpu()
        keep = []
        for at, (row, token) in enumerate(zip(rows, choice.tolist(), strict=True)):
            if row not in going:
                continue
            if token in stop_ids:
                stopped[row] = True
                continue
            answers[row].append(token)
            if ended is not None and ended(answers[row]):
                stopped[row] = True
                continue
            if len(prompts[row]) + len(answers[row]) < context:
                keep.append(at)
        going = {rows[at] for at in keep}
        if leave and 0 < len(keep) < len(rows):
            assert cache is not None
            index = torch.tensor(keep)
            # blocks on several devices keep their keys each on its own: an index in memory suits all
            cache.batch_select_indices(index if is_spread(model) else index.to(hidden.device))
            mask, choice, rows = mask[index], choice[index], [rows[at] for at in keep]
        ids = choice[:, None] if cache is not None else torch.cat([ids, choice[:, None]], dim=1)
        mask = torch.cat([mask, torch.ones_like(choice[:, None])], dim=1)
    return [Continuation(a, s) for a, s in zip(answers, stopped, strict=True)]
