"""One turn: trace, solve, write; all of it or nothing.

The maths is in `core`, the model's parts are run by `model.trace`; this file is the order in which things happen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ultraedit.core.decompose import LinAlgError
from ultraedit.core.preserve import DenseMetric, SketchMetric
from ultraedit.core.solve import DualSolver, PrimalSolver, Update, solver
from ultraedit.core.spread import Spread
from ultraedit.core.statistics import Moments, PublishedMoments, WhitenedMoments
from ultraedit.core.values import displacement_values, published_values, scale_gradients
from ultraedit.editing.method import MICRO_BATCH, Method
from ultraedit.editing.prompts import keep_leading
from ultraedit.errors import NumericalError
from ultraedit.model.batch import Batch
from ultraedit.model.stack import Stack
from ultraedit.model.trace import Trace, TrunkCache, trace
from ultraedit.model.weights import EditedWeight

PUBLISHED_MICRO_BATCH = 10

LEARNED = 0.8
"""An edit is left out of a turn's later steps once each of its answer's tokens is this probable."""

PREFIX_EVERY = 3
"""Steps between two runs of the prompts' own tokens through the top blocks, counted back from the last step."""


@dataclass(frozen=True)
class Calibration:
    """What is measured on the unedited model before the first edit, one entry per edited module."""

    output_norms: tuple[float, ...]
    """Root mean square row norm of the module's outputs on ordinary text."""
    metrics: tuple[DenseMetric | SketchMetric, ...]
    """The metric of ordinary text; empty where the method keeps the identity."""


@dataclass(frozen=True)
class Statistics:
    """All that lifelong normalisation remembers: its size does not grow with the number of edits."""

    moments: tuple[Moments | Spread, ...]
    """Of the value gradients, per edited module (improved form; `Spread` where the method whitens)."""
    published: dict[tuple[int, int], PublishedMoments]
    """Of [key ; gradient], pooled over modules of one weight shape (published forms; `WhitenedMoments` where the
    method whitens)."""
    metrics: tuple[DenseMetric | SketchMetric, ...]
    """Per edited module: ordinary text and the keys of every turn so far; empty where the method has none."""

    @classmethod
    def empty(
        cls, weights: Sequence[EditedWeight], calibration: Calibration, method: Method
    ) -> Statistics:
        shapes = [(w.projection.d_in, w.projection.d_out) for w in weights]
        device = weights[0].shift.device
        kind = Spread if method.whiten and not method.published else Moments
        return cls(
            tuple(kind.empty(w.projection.d_out, w.shift.device) for w in weights),
            {
                s: WhitenedMoments.blank(*s, device)
                if method.warms_up
                else PublishedMoments.empty(sum(s), device)
                for s in shapes
            },
            calibration.metrics,
        )


@dataclass(frozen=True)
class Turn:
    """A written turn."""

    owner: Int[Tensor, " n"]
    """The edit that each row of the updates belongs to."""
    updates: tuple[Update, ...]
    """The exact low-rank update of each module, over all refinement steps."""
    statistics: Statistics
    probability_before: Float[Tensor, " edits"]
    probability_after: Float[Tensor, " edits"]
    learned: Bool[Tensor, " edits"]
    """Whether all tokens of the answer are the most likely ones."""
    stops: Bool[Tensor, " edits"]
    """Whether the end token, where it is edited, is the most likely one behind the answer."""
    moved: dict[str, float]


class TurnEngine:
    """Runs turns on one model.  Holds no state between turns: statistics go in and come out."""

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
    ) -> None:
        """begin: number of tokens that all prompts begin with, and at least 1: none of those is ever edited."""
        self.stack = stack
        self.weights = tuple(weights)
        self.calibration = calibration
        self.method = method
        self.micro_batch = micro_batch
        self.trunk_cache_bytes = trunk_cache_bytes
        self.begin = begin
        self.warming = False
        """Gather the covariance of a method that whitens, and do without it (`editing.warm_up`)."""

    def run(
        self,
        pairs: Sequence[tuple[list[int], list[int]]],
        owners: Sequence[int],
        lengths: Sequence[int],
        statistics: Statistics,
    ) -> Turn:
        """Write one turn into the model.

        `pairs` are (prompt ids, answer ids); `owners[i]` is the edit that pair i belongs to, 0-based; `lengths[e]`
        is the number of answer tokens of edit e without an end token, over which its probability is reported.
        Raises NumericalError, with model and statistics as they were, if anything non-finite turns up.
        """
        cache = TrunkCache(self.stack, self._batches(pairs), self.trunk_cache_bytes)
        rounded = self.method.published
        first: list[Trace] = []
        traces: list[Trace] = []
        solvers: list[DualSolver | PrimalSolver] = []
        updates: list[Update] = []
        try:
            for number in range(self.method.steps):
                if (self.method.steps - 1 - number) % PREFIX_EVERY == 0:
                    cache.forget_prefixes()  # the last step sees all that was done
                if number:
                    self._leave_out_learned(cache, traces)
                if not any(b.lengths for b in cache.batches):
                    break
                traces = [self._trace(cache, i) for i in range(len(cache.whole))]
                _require_finite(traces)
                if number == 0:
                    if self.method.prompt_tokens:
                        traces = keep_leading(cache, traces, self.method.prompt_tokens)
                    first = traces
                    statistics = self._observe(statistics, traces)
                    solvers = self._solvers(traces, statistics)
                updates = self._refine(updates, solvers, traces, statistics)
                for w, update in zip(self.weights, updates, strict=True):
                    w.preview(update, rounded)
            cache.take_back()
            last = [
                trace(self.stack, self.weights, b, cache.get(i), None)
                for i, b in enumerate(cache.whole)
            ]
            _require_finite(last)
        except BaseException:
            for w in self.weights:
                w.write()
            raise
        moved = {
            w.name: w.commit(update, rounded) / w.norm
            for w, update in zip(self.weights, updates, strict=True)
        }
        owner = torch.tensor(owners)[torch.cat([t.owner for t in first]).cpu()]
        p_before, _, _ = answer_scores(first, owners, lengths)
        p_after, learned, stops = answer_scores(last, owners, lengths)
        statistics = self._remember(statistics, first)
        return Turn(owner, tuple(updates), statistics, p_before, p_after, learned, stops, moved)

    def _batches(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Batch]:
        if not self.method.published:
            begin = self.begin if self.method.prompt_tokens else 0
            return self.stack.batches(pairs, self.micro_batch, begin)
        # as released: sorted by the length of prompt and answer together, longest first, in tens
        order = sorted(
            range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]), reverse=True
        )
        groups = [
            order[k : k + PUBLISHED_MICRO_BATCH]
            for k in range(0, len(order), PUBLISHED_MICRO_BATCH)
        ]
        return [self.stack.batch([pairs[i] for i in g], g) for g in groups]

    def _trace(self, cache: TrunkCache, index: int) -> Trace:
        """Of the rows in play; the others' gradients are 0 and their answers certain."""
        batch, rows = cache.batches[index], cache.rows[index]
        if not batch.lengths:
            return self._nothing(cache.whole[index])
        loss = "batch_mean" if self.method.published else "sum"
        prefix = cache.prefix(index) if self.method.steps > 1 else None
        found = trace(self.stack, self.weights, batch, cache.get(index), loss, prefix)
        if rows is None:
            return found
        whole = cache.whole[index]
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

    def _leave_out_learned(self, cache: TrunkCache, traces: Sequence[Trace]) -> None:
        """What is learned has next to no gradient left, and costs as much to run as what is not.

        It keeps its rows in the solve, with nothing asked of them, so that the others' steps go round it.
        """
        for index, t in enumerate(traces):
            row, rows = cache.whole[index].answers[0], cache.rows[index]
            least = t.log_probs.new_zeros(len(cache.whole[index].lengths))
            least.scatter_reduce_(0, row, t.log_probs, "amin")
            learned = least >= math.log(LEARNED)
            done = learned if rows is None else learned[rows]
            if done.any():
                cache.leave_out(index, done)

    def _observe(self, statistics: Statistics, traces: Sequence[Trace]) -> Statistics:
        if self.method.published:
            pooled = dict(statistics.published)
            for t in traces:
                for w, keys, grads in zip(self.weights, t.keys, t.grads, strict=True):
                    shape = (w.projection.d_in, w.projection.d_out)
                    pooled[shape] = pooled[shape].update(torch.cat([keys, grads], 1))
            if not all(torch.isfinite(p.std).all() for p in pooled.values()):
                raise NumericalError(
                    "the published statistics turn NaN on a micro-batch with one answer token; this turn was "
                    'refused and the model is untouched: use preset "default", or larger turns.'
                )
            return replace(statistics, published=pooled)
        moments = list(statistics.moments)
        for i in range(len(moments)):
            rows = torch.cat([t.grads[i] for t in traces])
            moments[i] = moments[i].absorb(rows)
        return replace(statistics, moments=tuple(moments))

    def _solvers(
        self, traces: Sequence[Trace], statistics: Statistics
    ) -> list[DualSolver | PrimalSolver]:
        """One factored system per module.

        The keys of the first step serve all steps of the turn: later steps move the keys of the upper modules a
        little, which costs no accuracy that we could measure and saves a factorisation per step.
        """
        made: list[DualSolver | PrimalSolver] = []
        for i in range(len(self.weights)):
            metric = statistics.metrics[i] if statistics.metrics else None
            try:
                made.append(solver(_rows([t.keys[i] for t in traces]), self.method.ridge, metric))
            except LinAlgError as error:
                text = "" if metric is None else "more varied text for the metric, "
                raise NumericalError(
                    f"the system of '{self.weights[i].name}' cannot be factored, in fp64 neither; the turn was refused and "
                    f"the model is untouched: use {text}a larger ridge, or turns with fewer equal prompts."
                ) from error
        return made

    def _refine(
        self,
        updates: Sequence[Update],
        solvers: Sequence[DualSolver | PrimalSolver],
        traces: Sequence[Trace],
        statistics: Statistics,
    ) -> list[Update]:
        """Add one closed-form step to the updates so far.  The model is not touched here."""
        refined: list[Update] = []
        for i, solve in enumerate(solvers):
            update = solve.solve(self._values(i, traces, statistics))
            if updates:
                update = Update(update.left, updates[i].right + update.right)
            if not update.is_finite():
                raise NumericalError(
                    "the solve of this turn gave a non-finite update; the turn was refused and the model is "
                    "untouched: use a smaller step or a larger ridge."
                )
            refined.append(update)
        return refined

    def _values(
        self, i: int, traces: Sequence[Trace], statistics: Statistics
    ) -> Float[Tensor, "n d_out"]:
        G = _rows([t.grads[i] for t in traces])
        if not self.method.published:
            seen = statistics.moments[i]
            hat = seen.whiten(G) if isinstance(seen, Spread) else scale_gradients(G, seen)
            return displacement_values(hat, self.method.step, self.calibration.output_norms[i])
        H = _rows([t.keys[i] for t in traces])
        projection = self.weights[i].projection
        pooled = statistics.published[(projection.d_in, projection.d_out)]
        rows = torch.cat([H, G], 1)
        if isinstance(pooled, WhitenedMoments) and not self.warming:
            hat = pooled.whiten(rows)
        else:
            hat = pooled.normalise(rows)
        return published_values(hat[:, : H.shape[1]], hat[:, H.shape[1] :], self.method.step)

    def _remember(self, statistics: Statistics, traces: Sequence[Trace]) -> Statistics:
        """Put the turn's keys into the metrics, so that later turns go round them; what is there may fade."""
        if not self.method.history:
            return statistics
        horizon = self.method.horizon
        metrics = tuple(
            metric.absorb(
                _rows([t.keys[i] for t in traces]),
                base if horizon else None,  # type: ignore[arg-type]  # of the metric's own kind
                horizon,
            )
            for i, (metric, base) in enumerate(
                zip(statistics.metrics, self.calibration.metrics, strict=True)
            )
        )
        return replace(statistics, metrics=metrics)


def _rows(parts: Sequence[Tensor]) -> Float[Tensor, "n d"]:
    return torch.cat(list(parts))


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
