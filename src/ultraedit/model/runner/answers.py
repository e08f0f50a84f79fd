"""The teacher-forced scorer: how likely each token of known answers is, given the hidden states before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.core.labels import score_labels

HEAD_ROWS = 128
"""Answer tokens put through the head together: bounds the vocabulary-wide scratch."""


@dataclass(frozen=True)
class AnswerScores:
    log_probs: Float[Tensor, " n"]
    """Of each answer token, fp32."""
    hits: Bool[Tensor, " n"]
    """Whether it was the most likely one."""
    choices: Int[Tensor, " n"]
    """The most likely token."""
    slope: Float[Tensor, "n d"] | None
    """Gradient at the hidden states, where it was asked for."""
    leads: Float[Tensor, " n"] | None = None
    """Log-probability of each answer token less that of the likeliest other one, where it was asked for."""


def score_answers(
    head: Callable[[Tensor], Tensor],
    hidden: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    scale: float | None = None,
    leads: bool = False,
    teacher: Float[Tensor, "n d"] | None = None,
) -> AnswerScores:
    """Scores of the answer tokens, and `scale` times the gradient of their summed cross-entropy at `hidden`.

    teacher: hidden states whose distribution should be met; the gradient is then that of the summed KL to it.

    The gradient at the logits is written down, and the head is differentiated a few rows at a time, so that
    vocabulary-wide scratch never exists for all rows at once.
    """
    log_probs, hits, choices, found = [], [], [], []
    slope = None if scale is None else torch.empty_like(hidden)
    each = -(-len(hidden) // -(-len(hidden) // HEAD_ROWS))  # equal parts: few rows are slow
    for low in range(0, len(hidden), each):
        rows = slice(low, low + each)
        leaf = hidden[rows].requires_grad_(slope is not None)
        logits = head(leaf)
        taught = None
        if teacher is not None:
            with torch.no_grad():
                taught = head(teacher[rows])
        asked = labels[rows].to(logits.device)
        scores = score_labels(logits, asked, slope is not None, leads, taught)
        if scores.leads is not None:
            found.append(scores.leads)
        log_probs.append(scores.log_probs)
        hits.append(scores.hits)
        choices.append(scores.choices)
        if slope is not None:
            (slope[rows],) = torch.autograd.grad(logits, leaf, scores.slope)
    if slope is not None and scale is not None:
        slope *= scale
    return AnswerScores(
        torch.cat(log_probs),
        torch.cat(hits),
        torch.cat(choices),
        slope,
        torch.cat(found) if leads else None,
    )
