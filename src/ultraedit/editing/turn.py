"""A turn on a live model: written whole or not at all.

What happens in which order is `core.turn`; this file is the model's side of it: micro-batches, what is kept from step
to step, who is left out once it has learned, and what the receipts report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.core.decompose import LinAlgError
from ultraedit.core.solve import Update
from ultraedit.core.turn import write_turn
from ultraedit.defaults import MICRO_BATCH
from ultraedit.editing.prompts import keep_leading
from ultraedit.errors import NumericalError
from ultraedit.methods.base import Calibration, Method, Shapes, State
from ultraedit.model.batch import Batch
from ultraedit.model.stack import Stack
from ultraedit.model.trace import Trace, TrunkCache, trace
from ultraedit.model.weights import EditedWeight

LEARNED = 0.8
"""An edit is left out of a turn's later steps once each of its answer's tokens is this probable."""

PREFIX_EVERY = 3
"""Steps between two runs of the prompts' own tokens through the top blocks, counted back from the last step."""


@dataclass(frozen=True)
class Turn:
    """A written turn."""

    owner: Int[Tensor, " n"]
    """The edit that each row of the updates belongs to."""
    updates: tuple[Update, ...]
    """The exact low-rank update of each module, over all refinement steps."""
    state: State
    """What the method remembers after it."""
    probability_before: Float[Tensor, " edits"]
    probability_after: Float[Tensor, " edits"]
    learned: Bool[Tensor, " edits"]
    """Whether all tokens of the answer are the most likely ones."""
    stops: Bool[Tensor, " edits"]
    """Whether the end token, where it is edited, is the most likely one behind the answer."""
    moved: dict[str, float]


class Listener:
    """Hears the phases of a turn.  This one does nothing; a memory plan sorts what is allocated by them."""

    def phase(self, name: str) -> AbstractContextManager[object]:
        """Around a phase: "statistics" or "solve"."""
        return nullcontext()

    def made(self, name: str, *tensors: Tensor) -> None:
        """Told what was computed: "trunk cache" or "keys and gradients"."""


class TurnEngine:
    """Runs turns on one model.  Holds no state between turns: what a method remembers goes in and comes out."""

    def __init__(
        self,
        stack: Stack,
        weights: Sequence[EditedWeight],
        calibration: Calibration,
        method: Method,
        *,
        micro_batch: int = MICRO_BATCH,
        trunk_cache_bytes: int = 512 * 2**20,
        begin: int = 1,
        leave_out_learned: bool = True,
        listener: Listener | None = None,
    ) -> None:
        """begin: number of tokens that all prompts begin with, and at least 1: none of those is ever edited.

        leave_out_learned: off for a plan of the most that a turn can take.
        """
        self.stack = stack
        self.weights = tuple(weights)
        self.calibration = calibration
        self.method = method
        self.micro_batch = micro_batch
        self.trunk_cache_bytes = trunk_cache_bytes
        self.begin = begin
        self.leave_out_learned = leave_out_learned
        self.listener = listener or Listener()

    @property
    def shapes(self) -> Shapes:
        return tuple((w.projection.d_in, w.projection.d_out) for w in self.weights)

    def start(self) -> State:
        """The method's state before the first turn."""
        return self.method.start(self.shapes, self.calibration, self.weights[0].shift.device)

    def load_state(self, tensors: Mapping[str, Tensor]) -> State:
        """The method's state from its `state_dict`.  Raises KeyError where a tensor is missing."""
        return self.method.load_state(tensors, self.shapes, self.calibration)

    def run(
        self,
        pairs: Sequence[tuple[list[int], list[int]]],
        owners: Sequence[int],
        lengths: Sequence[int],
        state: State,
    ) -> Turn:
        """Write one turn into the model.

        `pairs` are (prompt ids, answer ids); `owners[i]` is the edit that pair i belongs to, 0-based; `lengths[e]`
        is the number of answer tokens of edit e without an end token, over which its probability is reported.
        Raises NumericalError, with model and state as they were, if anything non-finite turns up.
        """
        work = _LiveTurn(self, pairs)
        try:
            updates, state = write_turn(work, state)
            last = work.measure()
        except BaseException as error:
            for w in self.weights:
                w.write()
            if isinstance(error, LinAlgError):
                text = (
                    "" if self.method.metric_weight is None else "more varied text for the metric, "
                )
                raise NumericalError(
                    "the system of this turn cannot be factored, in fp64 neither; the turn was refused and the model "
                    f"is untouched: use {text}a larger ridge, or turns with fewer equal prompts."
                ) from error
            raise
        moved = {
            w.name: w.commit(update, self.method.rounded) / w.norm
            for w, update in zip(self.weights, updates, strict=True)
        }
        owner = torch.tensor(owners)[torch.cat([t.owner for t in work.first]).cpu()]
        p_before, _, _ = answer_scores(work.first, owners, lengths)
        p_after, learned, stops = answer_scores(last, owners, lengths)
        return Turn(owner, tuple(updates), state, p_before, p_after, learned, stops, moved)

    def batches(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Batch]:
        """The micro-batches of a turn."""
        size = self.method.micro_batch
        if size is None:
            begin = self.begin if self.method.edited_prompt_tokens else 0
            return self.stack.batches(pairs, self.micro_batch, begin)
        # as released: sorted by the length of prompt and answer together, longest first
        order = sorted(
            range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]), reverse=True
        )
        groups = [order[k : k + size] for k in range(0, len(order), size)]
        return [self.stack.batch([pairs[i] for i in g], g) for g in groups]


class _LiveTurn:
    """One turn's texts on the model: the model's side of `core.turn`."""

    def __init__(self, engine: TurnEngine, pairs: Sequence[tuple[list[int], list[int]]]) -> None:
        self.engine = engine
        self.stack, self.weights, self.method = engine.stack, engine.weights, engine.method
        self.cache = TrunkCache(engine.stack, engine.batches(pairs), engine.trunk_cache_bytes)
        engine.listener.made("trunk cache", *self.cache.kept)
        self.first: list[Trace] = []
        """What the first step traced, before anything was written."""
        self._traces: list[Trace] = []

    def phase(self, name: str) -> AbstractContextManager[object]:
        return self.engine.listener.phase(name)

    def trace(self, step: int) -> Sequence[Trace]:
        """Keys and value gradients at the weights of now; nothing once no edit is left to write."""
        if (self.method.steps - 1 - step) % PREFIX_EVERY == 0:
            self.cache.forget_prefixes()  # the last step sees all that was done
        if step and self.engine.leave_out_learned:
            self._leave_out_learned()
        if not any(b.lengths for b in self.cache.batches):
            return []
        traces = [self._trace(i) for i in range(len(self.cache.whole))]
        _require_finite(traces)
        if step == 0:
            if self.method.edited_prompt_tokens:
                traces = keep_leading(self.cache, traces, self.method.edited_prompt_tokens)
            self.first = traces
        self._traces = traces
        return traces

    def preview(self, updates: Sequence[Update]) -> None:
        if not all(update.is_finite() for update in updates):
            raise NumericalError(
                "the solve of this turn gave a non-finite update; the turn was refused and the model is "
                "untouched: use a smaller step or a larger ridge."
            )
        for w, update in zip(self.weights, updates, strict=True):
            w.preview(update, self.method.rounded)

    def measure(self) -> list[Trace]:
        """The turn's texts through the weights as they are now, without gradient."""
        self.cache.take_back()
        last = [
            trace(self.stack, self.weights, b, self.cache.get(i), None)
            for i, b in enumerate(self.cache.whole)
        ]
        _require_finite(last)
        return last

    def _trace(self, index: int) -> Trace:
        """Of the rows in play; the others' gradients are 0 and their answers certain."""
        batch, rows = self.cache.batches[index], self.cache.rows[index]
        if not batch.lengths:
            return self._nothing(self.cache.whole[index])
        made = self.engine.listener.made
        prefix, trunk = None, self.cache.get(index)
        if self.method.steps > 1:
            prefix = self.cache.prefix(index)
            made("trunk cache", *(x for states in prefix.values() for x in states))
        made("trunk cache", trunk)
        found = trace(self.stack, self.weights, batch, trunk, self.method.loss, prefix)
        made("keys and gradients", *found.keys, *found.grads)
        if rows is None:
            return found
        whole = self.cache.whole[index]
        spread = self._nothing(whole)
        spread.log_probs[torch.isin(whole.answers[0], rows)] = found.log_probs
        here = torch.isin(whole.edited[0], rows)
        for grads, some in zip(spread.grads, found.grads, strict=True):
            grads[here] = some
        return spread

    def _nothing(self, batch: Batch) -> Trace:
        """A later step's trace of rows that are all left out."""
        row = batch.edited[0]
        blank = torch.zeros(len(batch.answers[0]), device=row.device)
        return Trace(
            owner=batch.rows.to(row.device)[row],
            keys=(),
            grads=tuple(blank.new_zeros(len(row), w.projection.d_out) for w in self.weights),
            log_probs=blank,
            hits=blank == 0,
        )

    def _leave_out_learned(self) -> None:
        """What is learned has next to no gradient left, and costs as much to run as what is not.

        It keeps its rows in the solve, with nothing asked of them, so that the others' steps go round it.
        """
        for index, t in enumerate(self._traces):
            row, rows = self.cache.whole[index].answers[0], self.cache.rows[index]
            least = t.log_probs.new_zeros(len(self.cache.whole[index].lengths))
            least.scatter_reduce_(0, row, t.log_probs, "amin")
            learned = least >= math.log(LEARNED)
            done = learned if rows is None else learned[rows]
            if done.any():
                self.cache.leave_out(index, done)


def answer_scores(
    traces: Sequence[Trace], owners: Sequence[int], lengths: Sequence[int]
) -> tuple[Float[Tensor, " edits"], Bool[Tensor, " edits"], Bool[Tensor, " edits"]]:
    """Of each edit: its whole answer's probability, whether all its tokens are the most likely ones, and whether the
    end token is behind them (False where it is not edited).

    Where an edit was written in several forms, the first form is the one reported.
    """
    probabilities = torch.zeros(len(lengths))
    learned = torch.zeros(len(lengths), dtype=torch.bool)
    stops = torch.zeros(len(lengths), dtype=torch.bool)
    first_pair: dict[int, int] = {}
    for pair, edit in enumerate(owners):
        first_pair.setdefault(edit, pair)
    pair_edit = {pair: edit for edit, pair in first_pair.items()}
    totals: dict[int, float] = {}
    counts: dict[int, int] = {}
    for t in traces:
        log_probs, hits = t.log_probs.tolist(), t.hits.tolist()
        for pair, log_prob, hit in zip(t.owner[: len(hits)].tolist(), log_probs, hits, strict=True):
            edit = pair_edit.get(pair)
            if edit is None:
                continue  # another form
            if counts.get(edit, 0) == lengths[edit]:
                stops[edit] = hit
                continue
            counts[edit] = counts.get(edit, 0) + 1
            totals[edit] = totals.get(edit, 0.0) + log_prob
            learned[edit] = hit if counts[edit] == 1 else learned[edit] and hit
            if counts[edit] == lengths[edit]:
                probabilities[edit] = math.exp(totals[edit])
    return probabilities, learned, stops


def _require_finite(traces: Sequence[Trace]) -> None:
    for t in traces:
        if not torch.isfinite(t.log_probs).all() or not all(
            torch.isfinite(x).all() for x in (*t.keys, *t.grads)
        ):
            raise NumericalError(
                "the loss, a key or a gradient of this turn is not finite; the turn was refused and the model is "
                "untouched: look for an extreme input, or use dtype float32."
            )
