"""Log-probability, rank one and loss gradient of given labels, from raw logits.

The same numbers as log_softmax, argmax and autograd, from a few plain passes over the vocabulary: on a CPU torch's
own log_softmax and argmax over 49,152 columns cost 7 to 10 times as much as these (docs/lab/vocabulary.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 256
"""Columns looked at together when searching for the largest."""


@dataclass(frozen=True)
class LabelScores:
    log_probs: Float[Tensor, " n"]
    """fp32."""
    hits: Bool[Tensor, " n"]
    """Whether the label is the most likely token (of equals, the first, as greedy decoding picks)."""
    choices: Int[Tensor, " n"]
    """The most likely token (of equals, the first)."""
    slope: Float[Tensor, "n vocab"] | None
    """Gradient of the summed cross-entropy at the logits, softmax - onehot, in the logits' dtype; None if unasked."""
    leads: Float[Tensor, " n"] | None = None
    """Log-probability of the label less that of the most likely other token, fp32; None if unasked."""


def score_labels(
    logits: Float[Tensor, "n vocab"],
    labels: Int[Tensor, " n"],
    slope: bool,
    leads: bool = False,
    teacher: Float[Tensor, "n vocab"] | None = None,
) -> LabelScores:
    """Everything is worked out in one fp32 copy of the logits, which are left as they are.

    teacher: other logits; the slope is then the gradient of KL(teacher || model), softmax - softmax(teacher).
    """
    work = logits.detach().to(torch.float32, copy=True)
    label = labels[:, None]
    choices = first_argmax(work)
    hits = choices == labels
    work -= work.amax(-1, keepdim=True)
    chosen = work.gather(1, label)
    lead = None
    if leads:  # the label is taken out while the largest of the others is looked for
        others = work.scatter_(1, label, -torch.inf).amax(-1)
        lead = chosen[:, 0] - others
        work.scatter_(1, label, chosen)
    total = work.exp_().sum(-1, keepdim=True)
    log_probs = (chosen - total.log())[:, 0]
    if not slope:
        return LabelScores(log_probs, hits, choices, None, lead)
    work /= total
    if teacher is None:
        work.scatter_add_(1, label, torch.full_like(chosen, -1.0))
    else:
        work -= teacher.detach().float().softmax(-1)
    return LabelScores(log_probs, hits, choices, work.to(logits.dtype), lead)


def first_argmax(rows: Float[Tensor, "n width"]) -> Int[Tensor, " n"]:
    """argmax over the columns, the first of equals: blockwise maxima first, which torch vectorises."""
    n, width = rows.shape
    whole = width // BLOCK * BLOCK
    if whole == 0 or rows.device.type != "cpu":
        return rows.argmax(-1)
    blocks = rows[:, :whole].reshape(n, -1, BLOCK)
    maxima = blocks.amax(-1)
    best = maxima.argmax(-1)
    each = torch.arange(n)
    column = best * BLOCK + blocks[each, best].argmax(-1)
    if whole == width:
        return column
    tail, where = rows[:, whole:].max(-1)
    return torch.where(tail > maxima[each, best], whole + where, column)
