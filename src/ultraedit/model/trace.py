"""Keys, value gradients and answer probabilities of a turn: one forward and one truncated backward.

Knows nothing of what is done with them.  Weights are frozen; the graph begins at the first edited projection's
output and reaches only the answer columns.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.errors import ModelError
from ultraedit.model.batch import Batch
from ultraedit.model.cache import Prefix
from ultraedit.model.maps.base import Keys, See, tapped
from ultraedit.model.runner.answers import score_answers
from ultraedit.model.stack import Stack
from ultraedit.model.weights import EditedWeight

LossKind = Literal["sum", "batch_mean"]


@dataclass(frozen=True)
class Trace:
    """What one micro-batch gave.  Rows are its edited tokens: the answers', edit by edit in the batch's order, and
    behind them those of prompts, if the batch is wide."""

    owner: Int[Tensor, " n"]
    """Index of the edit, in the caller's list, that each row belongs to."""
    keys: tuple[Float[Tensor, "n _"], ...]
    """fp32 inputs of each edited projection: n x its d_in."""
    grads: tuple[Float[Tensor, "n _"], ...]
    """fp32 gradients of the loss at each projection's output, n x its d_out; empty when traced without gradient."""
    log_probs: Float[Tensor, " a"]
    """Log-probability of each answer token, fp32: of the first a rows."""
    hits: Bool[Tensor, " a"]
    """Whether the answer token was the most likely one."""
    short: Bool[Tensor, " a"] | None = None
    """Whether the answer token lacked the lead that was asked of it; None where none was."""
    wanted: Float[Tensor, " a"] | None = None
    """The lead that was asked of each answer token."""
    stays: bool = False
    """Whether these are answers that should stay as they are, and no edits."""


def trace(
    stack: Stack,
    weights: Sequence[EditedWeight],
    batch: Batch,
    trunk: Float[Tensor, "B C *d"],
    loss: LossKind | None,
    prefix: Prefix | None = None,
    lead: float | Float[Tensor, " a"] = 0.0,
    teacher: Float[Tensor, "a d"] | None = None,
) -> Trace:
    """Run one micro-batch through the top blocks.

    loss="sum": cross-entropy summed over each edit's tokens, so an edit's gradient does not depend on its batch
    mates.  loss="batch_mean": the mean over the micro-batch's tokens, as published.  None: no gradient.
    prefix: of `Stack.prefix`, where the prefix columns are not to be run again.
    lead: with loss="sum", only answer tokens that lack their lead over the most likely other token count in the loss,
    and only they have a gradient.  A number asks it of every token (`wanted_leads`); a tensor gives each its own;
    0 counts all tokens.
    teacher: with loss="sum", the unedited model's `answer_states`; the loss is then KL to its distribution.
    """
    inputs: dict[int, Keys] = {}
    outputs: dict[int, Tensor] = {}

    def keep(index: int) -> See:
        def see(x: Keys, out: Tensor) -> Tensor | None:
            # the prefix columns pass first and the answer columns last: what stays is the answers'
            inputs[index] = x.detach()
            if loss is None or not torch.is_grad_enabled():
                return None
            outputs[index] = out if out.requires_grad else out.requires_grad_()
            return out.clone()  # blocks with parallel attention add to what they are given in place

        return see

    with torch.set_grad_enabled(loss is not None), tapped([w.map for w in weights], keep):
        hidden = stack.top(batch, trunk, prefix)[batch.answers]
        _require_run(inputs, weights)
        labels = batch.labels[batch.answers]
        scale = {"sum": 1.0, "batch_mean": 1.0 / len(labels), None: None}[loss]
        asked = isinstance(lead, Tensor) or lead > 0
        scores = score_answers(stack.head, hidden.detach(), labels, scale, asked, teacher)
        short = wanted = None
        if scores.leads is not None:
            wanted = lead if isinstance(lead, Tensor) else wanted_leads(scores.leads, lead)
            short = scores.leads < wanted
        grads: tuple[Tensor, ...] = ()
        if scores.slope is not None:
            slope = scores.slope if short is None else scores.slope * short[:, None]
            heads = [outputs[i] for i in range(len(weights))]
            raw = torch.autograd.grad(hidden, heads, slope)
            grads = tuple(_at(g, stack, batch).float() for g in raw)
            if short is not None:
                for g in grads:
                    g[: len(short)] *= short[:, None].to(g.device)
    return Trace(
        owner=batch.rows.to(labels.device)[batch.edited[0]],
        keys=tuple(_at(inputs[i], stack, batch).float() for i in range(len(weights))),
        grads=grads,
        log_probs=scores.log_probs,
        hits=scores.hits,
        short=short,
        wanted=wanted,
        stays=teacher is not None,
    )


@torch.no_grad()
def answer_states(
    stack: Stack, batch: Batch, trunk: Float[Tensor, "B C *d"]
) -> Float[Tensor, "a d"]:
    """What the head reads at each answer token, under the weights of now."""
    return stack.top(batch, trunk, None)[batch.answers]


LEAST_LEAD = 0.05
"""Of a token that was the most likely one by a hair."""


def wanted_leads(leads: Float[Tensor, " a"], lead: float) -> Float[Tensor, " a"]:
    """The lead asked of each answer token, from those it has before the turn.

    A token that the model says by itself is asked for half of what it has, and not to be made surer of.
    """
    own = (leads / 2).clamp(min=LEAST_LEAD, max=lead)
    return torch.where(leads > 0, own, torch.full_like(leads, lead))


def _require_run(seen: Container[int], weights: Sequence[EditedWeight]) -> None:
    for index, w in enumerate(weights):
        if index not in seen:
            raise ModelError(
                f"'{w.name}' is not run on text (an expert that no token went to, or a part for images), so it cannot "
                "be edited; name other modules."
            )


def _at(x: Keys, stack: Stack, batch: Batch) -> Float[Tensor, "n d"]:
    """The edited tokens' rows of an x that has the columns the top blocks run."""
    row, column = batch.edited
    begin, width = stack.suffix(batch)
    return _cells_of(x, row, column + begin if begin else column, width)


def _cells_of(x: Keys, row: Tensor, column: Tensor, width: int) -> Float[Tensor, "n d"]:
    """Some tokens of a batch `width` columns wide.  OPT's MLP sees the batch flattened to (B*width, d)."""
    row, column = row.to(x.device), column.to(x.device)
    return x[row, column] if x.ndim == 3 else x[row * width + column]


@torch.no_grad()
def text_keys(
    stack: Stack, weights: Sequence[EditedWeight], windows: Sequence[list[int]], batch_size: int
) -> Iterator[list[tuple[Float[Tensor, "m _"], float]]]:
    """Per batch of windows and edited projection: its fp32 keys, and the sum of its outputs' squared norms.

    `windows` are token lists of ordinary text.  The first token of a window stands where nothing came before it,
    and in most models its activations are outliers of one fixed direction and huge norm: it is left out of the
    norm, and must be in the keys, because every text has one and an update that hits it ruins every text's start.
    """
    for low in range(0, len(windows), batch_size):
        chunk = windows[low : low + batch_size]
        width = max(len(w) for w in chunk)
        padded = [[*w, *[0] * (width - len(w))] for w in chunk]
        cells = [(i, j) for j in range(width) for i, w in enumerate(chunk) if j < len(w)]
        row, column = torch.tensor(cells).T.to(stack.device)
        found: dict[int, tuple[Tensor, float]] = {}

        def make(
            index: int,
            found: dict[int, tuple[Tensor, float]] = found,
            where: tuple[Tensor, Tensor, int] = (row, column, width),
            starts: int = len(chunk),
        ) -> See:
            def see(x: Keys, output: Tensor) -> None:
                # detached: a user's hook may have made them want a gradient
                later = _cells_of(output.detach(), *where)[
                    starts:
                ]  # cells are listed column by column
                exact = torch.promote_types(later.dtype, torch.float32)
                size = float(torch.linalg.vector_norm(later, dtype=exact))
                found[index] = (_cells_of(x.detach(), *where).float(), size * size)

            return see

        with tapped([w.map for w in weights], make):  # right padding: causal attention masks it
            stack.decoder(input_ids=torch.tensor(padded).to(stack.device), use_cache=False)
        _require_run(found, weights)
        yield [found[i] for i in range(len(weights))]
