"""The unedited model's own answers to everyday requests: what an edit should leave as it is.

A covariance of ordinary text misses where the harm is: an edited model is asked in chats, and answers in its own way.
So the keys that the metric preserves are taken where the model answers (Moir, arXiv 2607.20433, takes its covariance
from the model's own samples too).  The requests are this package's own, and nothing is scored on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.data.requests import bundled_requests
from ultraedit.errors import DataError
from ultraedit.methods.base import Ids, LiveModel
from ultraedit.methods.pair_tensors import pair_tensors, pairs_from_tensors
from ultraedit.model.context import context_length
from ultraedit.model.generate import stop_token_ids
from ultraedit.model.runner.base import Runner
from ultraedit.model.text import PromptEncoder
from ultraedit.model.weights import EditedWeight, originals

TOKENS = 32
"""Length to which an answer is generated."""

FIRST_WEIGHT = 8.0
"""What the first token of an answer counts in tokens: an answer that begins otherwise goes on otherwise."""

BATCH = 50

REQUEST_TOKENS = 40
"""Of a usual request in a chat template, for a plan."""


def request_ids(encoder: PromptEncoder) -> list[list[int]]:
    """Token ids of the bundled requests for editors, in the form that this model is asked in."""
    found: list[list[int]] = []
    for request in bundled_requests("anchor"):
        try:
            found.append(encoder.prompt(request.question))
        except DataError:  # a template that refuses this text: there are others
            continue
    return found


def unedited_answers(
    runner: Runner,
    weights: Sequence[EditedWeight],
    requests: Sequence[list[int]],
    tokens: int,
    stop: frozenset[int],
) -> list[Ids]:
    """(request, greedy answer of at most `tokens`) of the unedited weights, without what ends an answer."""
    with originals(weights):
        answers = runner.generate(requests, tokens, stop, BATCH)
    return list(zip(requests, answers, strict=True))


def own_answers(live: LiveModel, requests: Sequence[list[int]]) -> list[Ids]:
    """(request, answer) token ids, the end of the answer with it; of the unedited weights."""
    context = context_length(live.model, live.tokenizer)
    stop = stop_token_ids(live.model, live.tokenizer)
    room = [r for r in requests if len(r) + 2 <= context]
    end = [min(stop)] if stop else []
    pairs: list[Ids] = []
    for request, answer in unedited_answers(
        live.runner, live.weights, room, min(TOKENS, context - 2), stop
    ):
        whole = [*answer, *(end if len(answer) < TOKENS else [])][: context - len(request)]
        if whole:
            pairs.append((request, whole))
    return pairs


def blank_answers(weight: float) -> list[Ids]:
    """As many requests and answers as are measured for this weight, of usual lengths and no content."""
    if not weight:
        return []
    return [([0] * REQUEST_TOKENS, [0] * TOKENS) for _ in bundled_requests("anchor")]


@torch.no_grad()
def answer_keys(
    runner: Runner, pairs: Sequence[Ids]
) -> Iterator[tuple[tuple[Float[Tensor, "n _"], ...], Float[Tensor, " n"]]]:
    """Per micro-batch: the keys of each map at every answer token, and what each token counts."""
    for batch in runner.batches(pairs, BATCH):
        (trunk,) = runner.trunks([batch])
        traced = runner.trace(batch, trunk, None)
        owner = batch.answers[0]
        first = torch.ones_like(owner, dtype=torch.bool)
        first[1:] = owner[1:] != owner[:-1]
        yield traced.keys, 1.0 + (FIRST_WEIGHT - 1.0) * first.float()


def answer_tensors(pairs: Sequence[Ids]) -> dict[str, Tensor]:
    """The answers as named tensors, none where there are none.  `answers_from_tensors` is the inverse."""
    return pair_tensors("answers", pairs) if pairs else {}


def answers_from_tensors(tensors: Mapping[str, Tensor]) -> tuple[Ids, ...]:
    """Empty where no answers were kept."""
    return tuple(pairs_from_tensors("answers", tensors)) if "answers.ids" in tensors else ()
