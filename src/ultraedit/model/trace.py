"""Keys, value gradients and answer probabilities of a turn: one forward and one truncated backward.

Knows nothing of what is done with them.  Weights are frozen; the graph begins at the first edited projection's
output and reaches only the answer columns.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.core.labels import score_labels
from ultraedit.errors import ModelError
from ultraedit.model.batch import Batch, Cells
from ultraedit.model.cache import Prefix
from ultraedit.model.maps.base import See, tapped
from ultraedit.model.stack import Stack
from ultraedit.model.weights import EditedWeight

LossKind = Literal["sum", "batch_mean"]

HEAD_ROWS = 128
"""Answer tokens put through the head together: bounds the vocabulary-wide scratch."""


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


class TrunkCache:
    """Trunk activations of a turn's micro-batches, kept while they fit in `limit` bytes, else computed again.

    Also which rows of each are still in play: `leave_out` takes rows out of all that follows.
    """

    def __init__(self, stack: Stack, batches: Sequence[Batch], limit: int) -> None:
        self.stack = stack
        self.whole = list(batches)
        self.batches = list(batches)
        """The rows in play."""
        self.rows: list[Int[Tensor, " _"] | None] = [None] * len(batches)
        """Which rows of the batch as it was given those are; None: all."""
        ends = accumulate(b.mask.numel() * stack.cell_bytes for b in batches)
        fitting = sum(end <= limit for end in ends)
        self.kept = stack.trunks(batches[:fitting]) if fitting else []
        self._prefixes: dict[int, Prefix] = {}

    def prefix(self, index: int) -> Prefix:
        """The prefix columns' keys and values, as they were when first asked for.

        Steps within a turn move the weights a little, and with them what the prompts' own tokens hand to the
        answers.  Some steps may leave that out (docs/lab/prefixes.md).
        """
        if index not in self._prefixes:
            self._prefixes[index] = self.stack.prefix(self.batches[index], self.get(index))
        return self._prefixes[index]

    def forget_prefixes(self) -> None:
        self._prefixes.clear()

    def get(self, index: int) -> Float[Tensor, "B C *d"]:
        if index >= len(self.kept):
            return self.stack.trunk(self.batches[index])
        rows = self.rows[index]
        return self.kept[index] if rows is None else self.kept[index][rows]

    def leave_out(self, index: int, done: Bool[Tensor, " B"]) -> None:
        """Take rows of those in play out of play."""
        stay = torch.nonzero(~done)[:, 0]
        rows = self.rows[index]
        self.rows[index] = stay if rows is None else rows[stay]
        self.batches[index] = self.batches[index].only(stay)
        if index in self._prefixes:
            states = self._prefixes[index].items()
            self._prefixes[index] = {i: (k[stay], v[stay]) for i, (k, v) in states}

    def edit_only(self, index: int, edited: Cells, prompt_tokens: tuple[int, ...]) -> None:
        """Other edited tokens for a batch, while all its rows are in play."""
        self.whole[index] = replace(self.whole[index], edited=edited, open=prompt_tokens)
        self.batches[index] = self.whole[index]

    def take_back(self) -> None:
        """All rows are in play again."""
        for index, batch in enumerate(self.whole):
            self.batches[index], self.rows[index] = batch, None
        self.forget_prefixes()


def trace(
    stack: Stack,
    weights: Sequence[EditedWeight],
    batch: Batch,
    trunk: Float[Tensor, "B C *d"],
    loss: LossKind | None,
    prefix: Prefix | None = None,
    lead: float | Float[Tensor, " a"] = 0.0,
) -> Trace:
    """Run one micro-batch through the top blocks.

    loss="sum": cross-entropy summed over each edit's tokens, so an edit's gradient does not depend on its batch
    mates.  loss="batch_mean": the mean over the micro-batch's tokens, as published.  None: no gradient.
    prefix: of `Stack.prefix`, where the prefix columns are not to be run again.
    lead: with loss="sum", only answer tokens that lack their lead over the most likely other token count in the loss,
    and only they have a gradient.  A number asks it of every token (`wanted_leads`); a tensor gives each its own;
    0 counts all tokens.
    """
    inputs: dict[int, Tensor] = {}
    outputs: dict[int, Tensor] = {}

    def keep(index: int) -> See:
        def see(x: Tensor, out: Tensor) -> Tensor | None:
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
        log_probs, hits, slope, leads = score_answers(stack, hidden.detach(), labels, scale, asked)
        short = wanted = None
        if leads is not None:
            wanted = lead if isinstance(lead, Tensor) else wanted_leads(leads, lead)
            short = leads < wanted
        grads: tuple[Tensor, ...] = ()
        if slope is not None:
            if short is not None:
                slope *= short[:, None]
            raw = torch.autograd.grad(hidden, [outputs[i] for i in range(len(weights))], slope)
            grads = tuple(_at(g, stack, batch).float() for g in raw)
            if short is not None:
                for g in grads:
                    g[: len(short)] *= short[:, None]
    return Trace(
        owner=batch.rows.to(labels.device)[batch.edited[0]],
        keys=tuple(_at(inputs[i], stack, batch).float() for i in range(len(weights))),
        grads=grads,
        log_probs=log_probs,
        hits=hits,
        short=short,
        wanted=wanted,
    )


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


def _at(x: Tensor, stack: Stack, batch: Batch) -> Float[Tensor, "n d"]:
    """The edited tokens' rows of an x that has the columns the top blocks run."""
    row, column = batch.edited
    begin, width = stack.suffix(batch)
    return _cells_of(x, row, column + begin if begin else column, width)


def _cells_of(x: Tensor, row: Tensor, column: Tensor, width: int) -> Float[Tensor, "n d"]:
    """Some tokens of a batch `width` columns wide.  OPT's MLP sees the batch flattened to (B*width, d)."""
    return x[row, column] if x.ndim == 3 else x[row * width + column]


def score_answers(
    stack: Stack,
    hidden: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    scale: float | None,
    leads: bool = False,
) -> tuple[
    Float[Tensor, " n"],
    Bool[Tensor, " n"],
    Float[Tensor, "n d"] | None,
    Float[Tensor, " n"] | None,
]:
    """Log-probabilities, hits, `scale` times the gradient of the summed cross-entropy at `hidden`, and `leads`.

    The gradient at the logits is written down, and the head is differentiated a few rows at a time, so that
    vocabulary-wide scratch never exists for all rows at once.
    """
    log_probs, hits, found = [], [], []
    slope = None if scale is None else torch.empty_like(hidden)
    each = -(-len(hidden) // -(-len(hidden) // HEAD_ROWS))  # equal parts: few rows are slow
    for low in range(0, len(hidden), each):
        rows = slice(low, low + each)
        leaf = hidden[rows].requires_grad_(slope is not None)
        logits = stack.head(leaf)
        scores = score_labels(logits, labels[rows], slope is not None, leads)
        if scores.leads is not None:
            found.append(scores.leads)
        log_probs.append(scores.log_probs)
        hits.append(scores.hits)
        if slope is not None:
            (slope[rows],) = torch.autograd.grad(logits, leaf, scores.slope)
    if slope is not None and scale is not None:
        slope *= scale
    return torch.cat(log_probs), torch.cat(hits), slope, torch.cat(found) if leads else None


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
            def see(x: Tensor, output: Tensor) -> None:
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
