"""The unedited model's own answers to everyday requests: what an edit should leave as it is.

A covariance of ordinary text misses where the harm is: an edited model is asked in chats, and answers in its own way.
So the keys that the metric preserves are taken where the model answers (Moir, arXiv 2607.20433, takes its covariance
from the model's own samples too).  The requests are this package's own, and nothing is scored on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.errors import DataError
from ultraedit.methods.base import Ids, LiveModel
from ultraedit.model.context import context_length
from ultraedit.model.generate import greedy_ids, stop_token_ids
from ultraedit.model.text import PromptEncoder
from ultraedit.model.trace import trace
from ultraedit.model.weights import originals

TOKENS = 32
"""Length to which an answer is generated."""

FIRST_WEIGHT = 8.0
"""What the first token of an answer counts in tokens: an answer that begins otherwise goes on otherwise."""

BATCH = 50


def request_ids(encoder: PromptEncoder) -> list[list[int]]:
    """Token ids of the bundled requests for editors, in the form that this model is asked in."""
    from ultraedit.data.bundled import requests_path

    found: list[list[int]] = []
    with requests_path().open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["split"] == "anchor":
                try:
                    found.append(encoder.prompt(row["messages"][0]["content"]))
                except DataError:  # a template that refuses this text: there are others
                    continue
    return found


def own_answers(live: LiveModel, requests: Sequence[list[int]]) -> list[Ids]:
    """(request, answer) token ids, the end of the answer with it; of the unedited weights."""
    context = context_length(live.model, live.tokenizer)
    room = [r for r in requests if len(r) + 2 <= context]
    stop = stop_token_ids(live.model, live.tokenizer)
    with originals(live.weights):
        answers = greedy_ids(live.model, room, min(TOKENS, context - 2), stop, BATCH)
    end = [min(stop)] if stop else []
    pairs: list[Ids] = []
    for request, answer in zip(room, answers, strict=True):
        whole = [*answer, *(end if len(answer) < TOKENS else [])][: context - len(request)]
        if whole:
            pairs.append((request, whole))
    return pairs


@torch.no_grad()
def answer_keys(
    live: LiveModel, pairs: Sequence[Ids]
) -> Iterator[tuple[tuple[Float[Tensor, "n _"], ...], Float[Tensor, " n"]]]:
    """Per micro-batch: the keys of each map at every answer token, and what each token counts."""
    for batch in live.stack.batches(pairs, BATCH):
        traced = trace(live.stack, live.weights, batch, live.stack.trunk(batch), None)
        owner = batch.answers[0]
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        yield traced.keys, 1.0 + (FIRST_WEIGHT - 1.0) * first.float()
