"""Which of a prompt's own tokens are edited with the answer's.

An answer is read off its own tokens, but what a rephrase shares with the prompt is the subject, and that is where an
edit must also stand to be found again.  Where the subject is, is not asked: it is where the loss depends most on what
the edited maps give (docs/lab/thorough.md has what this is worth).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ultraedit.model.batch import Batch
from ultraedit.model.runner.trunk_cache import TrunkCache
from ultraedit.model.trace import Trace


def keep_leading(cache: TrunkCache, traces: Sequence[Trace], count: int) -> list[Trace]:
    """Leave to every row of the batches its answer tokens and the `count` prompt tokens of largest gradient.

    Returns the traces of those tokens alone.
    """
    answers = [len(t.log_probs) for t in traces]
    usual = [
        torch.cat([t.grads[i][:a] for t, a in zip(traces, answers, strict=True)])
        .square()
        .sum(1)
        .mean()
        for i in range(len(traces[0].grads))
    ]
    kept: list[Trace] = []
    for index, t in enumerate(traces):
        batch = cache.whole[index]
        sizes = sum(
            (
                (g.square().sum(1) / u.clamp(min=1e-30)).to(t.owner.device)
                for g, u in zip(t.grads, usual, strict=True)
            ),
            start=torch.zeros(len(t.owner), device=t.owner.device),
        )
        chosen = leading_tokens(batch, sizes, count)
        edited = (batch.edited[0][chosen], batch.edited[1][chosen])
        cache.edit_only(index, edited, tuple(min(n, count) for n in batch.open))
        kept.append(
            replace(
                t,
                owner=t.owner[chosen],
                keys=tuple(k[chosen.to(k.device)] for k in t.keys),
                grads=tuple(g[chosen.to(g.device)] for g in t.grads),
            )
        )
    return kept


def leading_tokens(batch: Batch, sizes: Float[Tensor, " n"], count: int) -> Int[Tensor, " m"]:
    """Of a batch's edited tokens all of the answers', and of each row's prompt the `count` of largest size."""
    start = len(batch.answers[0])
    found = [torch.arange(start, device=sizes.device)]
    for n in batch.open:
        best = sizes[start : start + n].topk(min(n, count)).indices
        found.append(start + best.sort().values)
        start += n
    return torch.cat(found)
