"""The loss of prompts and answers as a function of the top blocks, with the frozen trunk computed once per pair."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ultraedit.methods.base import Ids
from ultraedit.model.batch import Batch, make_batch
from ultraedit.model.runner.answers import score_answers
from ultraedit.model.runner.base import Runner


def whole_batch(
    pairs: Sequence[Ids], device: torch.device | str
) -> tuple[Batch, Int[Tensor, " n"], Int[Tensor, " n"]]:
    """A batch that is differentiable in every column, prompts included; where in `batch.answers` the answer tokens
    stand, and which pair each belongs to.

    All of a pair but its first token is handed over as the answer, so that everything lies in the suffix.
    """
    batch = make_batch([(p[:1], p[1:] + t) for p, t in pairs], range(len(pairs)), device)
    places, owners, start = [], [], 0
    for i, (prompt, target) in enumerate(pairs):
        end = start + len(prompt) - 1 + len(target)
        places += range(end - len(target), end)
        owners += [i] * len(target)
        start = end
    return batch, torch.tensor(places, device=device), torch.tensor(owners, device=device)


def token_losses(
    runner: Runner, batch: Batch, places: Int[Tensor, " n"], trunk: Float[Tensor, "B C d"]
) -> Float[Tensor, " n"]:
    """Cross-entropy of each answer token, in fp32 and with gradient."""
    rows, columns = batch.answers[0][places], batch.answers[1][places]
    hidden = runner.top(batch, trunk)[rows, columns]
    scores = score_answers(runner.head, hidden.detach(), batch.labels[rows, columns], 1.0)
    assert scores.slope is not None
    return _Known.apply(hidden, -scores.log_probs, scores.slope)  # type: ignore[no-any-return]


class _Known(torch.autograd.Function):
    """Losses whose gradients at `hidden` are known already: torch's own cross-entropy is slow over a wide vocabulary
    (docs/lab/vocabulary.md)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, losses: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return losses.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return (outer[0][:, None] * slope).to(slope.dtype), None, None


class Lesson:
    """All edits of a stream, as mini-batches."""

    def __init__(self, runner: Runner, pairs: Sequence[Ids]) -> None:
        self.runner = runner
        self.pairs = pairs
        self._trunks: list[Tensor] = []  # without padding, in the model's dtype
        for low in range(0, len(pairs), 64):
            batch, _, _ = whole_batch(pairs[low : low + 64], runner.device)
            (hidden,) = runner.trunks([batch])
            self._trunks += [row[here] for row, here in zip(hidden, batch.mask, strict=True)]

    def loss(self, chosen: Sequence[int]) -> Float[Tensor, ""]:
        """Cross-entropy summed over each edit's tokens, averaged over edits."""
        batch, places, _ = whole_batch([self.pairs[i] for i in chosen], self.runner.device)
        trunk = self._trunks[0].new_zeros(*batch.mask.shape, self._trunks[0].shape[-1])
        trunk[batch.mask] = torch.cat([self._trunks[i] for i in chosen])
        return token_losses(self.runner, batch, places, trunk).sum() / len(chosen)


def train(
    lesson: Lesson,
    step: Callable[[], None],
    *,
    epochs: int,
    batch: int,
    enough: float,
    pause: Callable[[], None],
    seed: int = 0,
) -> None:
    """Breadth-first: every epoch goes once over all edits, in mini-batches of a new order.

    `step` is called after each backward pass, and `pause` after that.  Ends early after an epoch of mean loss below
    `enough`.
    """
    draw = random.Random(seed)
    order = list(range(len(lesson.pairs)))
    for _ in range(epochs):
        draw.shuffle(order)
        total = 0.0
        for low in range(0, len(order), batch):
            chosen = order[low : low + batch]
            with torch.enable_grad():
                loss = lesson.loss(chosen)
                loss.backward()
            total += float(loss.detach()) * len(chosen)
            del loss
            step()
            pause()
        if total / len(order) < enough:
            return
