"""Methods in closed form: their settings, and their turns on a live model.

What happens in which order is `core.turn`; this file is the model's side of it: micro-batches, what is kept from step
to step, who is left out once it has learned, and what the receipts report.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit import arguments
from ultraedit.core.decompose import LinAlgError
from ultraedit.core.metric import Metric
from ultraedit.core.solve import Update
from ultraedit.core.turn import Rows, write_turn
from ultraedit.defaults import MICRO_BATCH
from ultraedit.errors import ConfigError, NumericalError
from ultraedit.methods.base import (
    NO_EDIT,
    Calibration,
    Devices,
    EncodedTurn,
    Engine,
    Ids,
    LiveModel,
    Method,
    Needs,
    Shapes,
    State,
    TurnResult,
)
from ultraedit.methods.calibration import calibrate
from ultraedit.methods.prompt_tokens import keep_leading
from ultraedit.methods.pull import Pull
from ultraedit.methods.scores import answer_scores
from ultraedit.model.batch import Batch
from ultraedit.model.runner.base import Runner
from ultraedit.model.runner.trunk_cache import TrunkCache
from ultraedit.model.trace import LossKind, Trace
from ultraedit.model.weights import EditedWeight

LEARNED = 0.8
"""An edit is left out of a turn's later steps once each of its answer's tokens is this probable."""

PREFIX_EVERY = 3
"""Steps between two runs of the prompts' own tokens through the top blocks, counted back from the last step."""


@dataclass(frozen=True)
class ClosedForm(Method):
    """A method that writes a turn by `core.turn`: its settings."""

    step: float = 1.0
    steps: int = 1
    """Closed-form steps within one turn; the frozen trunk is computed once."""
    ridge: float = 1.0

    loss: ClassVar[LossKind]
    """Of a micro-batch: the sum over its answer tokens, or their mean."""
    rounded: ClassVar[bool]
    """Updates are cast to the weight's own dtype and added there, in place of an fp32 shift."""
    micro_batch: ClassVar[int | None]
    """Rows of a micro-batch, by length, where the result depends on them; None: what runs fastest."""
    measures_text: ClassVar[bool]
    """Ordinary text is run through the unedited model before the first edit."""

    @property
    def metric_weight(self) -> float | None:
        """Weight of ordinary text in the metric; None where the metric stays the identity."""
        return None

    @property
    def asked_own_weight(self) -> float:
        """Weight of the model's own answers in the metric; 0: they are not made."""
        return 0.0

    @property
    def edited_prompt_tokens(self) -> int:
        """Of each prompt, how many of its own tokens are edited with the answer's."""
        return 0

    @property
    def asked_lead(self) -> float:
        """Answer tokens are pushed until they lead the most likely other token by this (nats); 0: until all of an
        edit's are LEARNED."""
        return 0.0

    @property
    def pulls(self) -> bool:
        """Whether the model's own answers are rows of each turn."""
        return False

    def check(self) -> None:
        arguments.whole(self.steps, "steps", 1)
        if not self.step > 0 or not self.ridge > 0:
            raise ConfigError(f"step {self.step} and ridge {self.ridge} must be above 0.")

    @abstractmethod
    def start(self, shapes: Shapes, calibration: Calibration, devices: Devices) -> ClosedFormState:
        """The state before the first turn; what belongs to a map lies on its device."""

    @abstractmethod
    def load_state_dict(
        self,
        tensors: Mapping[str, Tensor],
        shapes: Shapes,
        calibration: Calibration,
        devices: Devices,
    ) -> ClosedFormState:
        """The state that `state_dict` gave.  Raises KeyError where a tensor is missing."""

    @abstractmethod
    def keeps(self) -> str:
        """In words, what the state holds."""

    @property
    def needs(self) -> Needs:
        text = ", and a pass over ordinary text beforehand" if self.metric_weight else ""
        return Needs(
            training=f"None: one closed-form solve a step{text}.",
            subject="No.",
            memory=f"No edit is kept; {self.keeps()}, whatever the number of edits.",
        )

    def engine(self, live: LiveModel) -> TurnEngine:
        calibration = live.calibration or calibrate(live, live.text, self)
        return TurnEngine(
            live.runner,
            live.weights,
            calibration,
            self,
            Batching(live.micro_batch, begin=live.encoder.opening),
        )


@dataclass(frozen=True)
class ClosedFormState(State):
    """A state with the verbs of `core.turn.TurnState`, whose equations they are."""

    method: ClosedForm

    @property
    def steps(self) -> int:
        return self.method.steps

    @property
    def ridge(self) -> float:
        return self.method.ridge

    @property
    def relative_ridge(self) -> bool:
        return False

    @abstractmethod
    def observe(self, rows: Sequence[Rows]) -> ClosedFormState: ...

    @abstractmethod
    def values(self, module: int, rows: Sequence[Rows]) -> Float[Tensor, "n d_out"]: ...

    def metric(self, module: int) -> Metric | None:
        return None

    def remember(self, rows: Sequence[Rows]) -> ClosedFormState:
        return self


@dataclass(frozen=True)
class Batching:
    """How a turn is cut into micro-batches, and what is kept of them from step to step."""

    micro_batch: int = MICRO_BATCH
    """Rows run at once, at most."""
    begin: int = 1
    """Tokens that all prompts begin with, and at least 1: none of those is ever edited."""
    trunk_cache_bytes: int = 512 * 2**20
    leave_out_learned: bool = True
    """Off for a plan of the most that a turn can take."""


class TurnEngine(Engine):
    """Runs turns of a method in closed form."""

    def __init__(
        self,
        runner: Runner,
        weights: Sequence[EditedWeight],
        calibration: Calibration,
        method: ClosedForm,
        batching: Batching | None = None,
    ) -> None:
        self.runner = runner
        self.weights = tuple(weights)
        self.calibration = calibration
        self.method: ClosedForm = method
        self.batching = batching or Batching()
        self.micro_batch = self.batching.micro_batch
        self._pull: Pull | None = None

    def pull(self) -> Pull | None:
        """What holds the model's own answers in a turn, made before the first one."""
        if self._pull is None and self.method.pulls and self.calibration.answers:
            self._pull = Pull(self.runner, self.weights, self.calibration.answers, self.micro_batch)
        return self._pull

    @property
    def shapes(self) -> Shapes:
        return tuple((w.projection.d_in, w.projection.d_out) for w in self.weights)

    @property
    def devices(self) -> Devices:
        return tuple(w.map.device for w in self.weights)

    def start(self) -> ClosedFormState:
        return self.method.start(self.shapes, self.calibration, self.devices)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> ClosedFormState:
        return self.method.load_state_dict(tensors, self.shapes, self.calibration, self.devices)

    def run(self, turn: EncodedTurn, state: State, put_off: bool = False) -> TurnResult:
        """Raises NumericalError, with model and state as they were, if anything non-finite turns up."""
        assert isinstance(state, ClosedFormState)
        work = _LiveTurn(self, turn.pairs)
        try:
            updates, state = write_turn(work, state)
            last, first = work.measure(), work.first
            del work  # its trunk cache makes room for the new shifts
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
        owner = torch.tensor(list(turn.owners))[torch.cat([t.owner for t in first]).cpu()]
        held = len(updates[0].left) - len(owner)
        owner = torch.cat([owner, owner.new_full((held,), NO_EDIT)])
        p_before, _, _ = answer_scores(first, turn.owners, turn.lengths)
        p_after, learned, stops = answer_scores(last, turn.owners, turn.lengths)
        return TurnResult(owner, tuple(updates), state, p_before, p_after, learned, stops, moved)

    def batches(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Batch]:
        """The micro-batches of a turn."""
        size = self.method.micro_batch
        if size is None:
            begin = self.batching.begin if self.method.edited_prompt_tokens else 0
            return self.runner.batches(pairs, self.micro_batch, begin)
        # as released: sorted by the length of prompt and answer together, longest first
        order = sorted(
            range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]), reverse=True
        )
        groups = [order[k : k + size] for k in range(0, len(order), size)]
        return [self.runner.batch([pairs[i] for i in g], g) for g in groups]


class _LiveTurn:
    """One turn's texts on the model: the model's side of `core.turn`."""

    def __init__(self, engine: TurnEngine, pairs: Sequence[Ids]) -> None:
        self.engine = engine
        self.runner, self.weights, self.method = engine.runner, engine.weights, engine.method
        limit = engine.batching.trunk_cache_bytes
        self.cache = TrunkCache(engine.runner, engine.batches(pairs), limit)
        self.runner.listener.made("trunk cache", *self.cache.kept)
        self.pull = engine.pull()
        if self.pull is not None:
            self.pull.forget_prefixes()  # those of the last turn
        self.first: list[Trace] = []
        """What the first step traced, before anything was written."""
        self._traces: list[Trace] = []
        self._wanted: list[Tensor] = []
        """Per batch, the lead asked of each of its answer tokens, where the method asks for one."""

    def phase(self, name: str) -> AbstractContextManager[object]:
        return self.runner.listener.phase(name)

    def trace(self, step: int) -> Sequence[Trace]:
        """Keys and value gradients at the weights of now; nothing once no edit is left to write."""
        if (self.method.steps - 1 - step) % PREFIX_EVERY == 0:
            self.cache.forget_prefixes()  # the last step sees all that was done
            if self.pull is not None:
                self.pull.forget_prefixes()
        if step and self.engine.batching.leave_out_learned:
            self._leave_out_learned()
        if not any(b.lengths for b in self.cache.batches):
            return []
        traces = [self._trace(i) for i in range(len(self.cache.whole))]
        _require_finite(traces)
        if step == 0:
            if self.method.edited_prompt_tokens:
                traces = keep_leading(self.cache, traces, self.method.edited_prompt_tokens)
            self.first = traces
            self._wanted = [t.wanted for t in traces if t.wanted is not None]
        self._traces = traces
        if self.pull is None:
            return traces
        pulled = self.pull.trace(self.method.loss)
        _require_finite(pulled)
        return [*traces, *pulled]

    def preview(self, updates: Sequence[Update]) -> None:
        if not all(update.is_finite() for update in updates):
            raise NumericalError(
                "the solve of this turn gave a non-finite update; the turn was refused and the model is "
                "untouched: use a smaller step or a larger ridge."
            )
        for w, update in zip(self.weights, updates, strict=True):
            w.preview(update, self.method.rounded)
        self.runner.listener.pause()

    def measure(self) -> list[Trace]:
        """The turn's texts through the weights as they are now, without gradient."""
        self.cache.take_back()
        last = [
            self.runner.trace(b, self.cache.get(i), None) for i, b in enumerate(self.cache.whole)
        ]
        _require_finite(last)
        return last

    def _trace(self, index: int) -> Trace:
        """Of the rows in play; the others' gradients are 0 and their answers certain."""
        batch, rows = self.cache.batches[index], self.cache.rows[index]
        if not batch.lengths:
            return self._nothing(self.cache.whole[index])
        made = self.runner.listener.made
        prefix, trunk = None, self.cache.get(index)
        if self.method.steps > 1:
            prefix = self.cache.prefix(index)
            made("trunk cache", *(x for states in prefix.values() for x in states))
        made("trunk cache", trunk)
        lead: float | Tensor = self.method.asked_lead
        if self._wanted:
            lead = self._wanted[index]
            if rows is not None:
                lead = lead[torch.isin(self.cache.whole[index].answers[0], rows)]
        found = self.runner.trace(batch, trunk, self.method.loss, prefix, lead)
        made("keys and gradients", *found.keys, *found.grads)
        if rows is None:
            return found
        whole = self.cache.whole[index]
        spread = self._nothing(whole)
        answers = torch.isin(whole.answers[0], rows)
        spread.log_probs[answers] = found.log_probs
        if found.short is not None and spread.short is not None:
            spread.short[answers] = found.short
        here = torch.isin(whole.edited[0], rows)
        for grads, some in zip(spread.grads, found.grads, strict=True):
            grads[here.to(grads.device)] = some
        return spread

    def _nothing(self, batch: Batch) -> Trace:
        """A later step's trace of rows that are all left out."""
        row = batch.edited[0]
        blank = torch.zeros(len(batch.answers[0]), device=row.device)
        return Trace(
            owner=batch.rows.to(row.device)[row],
            keys=(),
            grads=tuple(
                blank.new_zeros(len(row), w.projection.d_out, device=w.map.device)
                for w in self.weights
            ),
            log_probs=blank,
            hits=blank == 0,
            short=blank > 0,
        )

    def _leave_out_learned(self) -> None:
        """What is learned has next to no gradient left, and costs as much to run as what is not.

        It keeps its rows in the solve, with nothing asked of them, so that the others' steps go round it.
        """
        for index, t in enumerate(self._traces):
            row, rows = self.cache.whole[index].answers[0], self.cache.rows[index]
            zeros = t.log_probs.new_zeros(len(self.cache.whole[index].lengths))
            if self.method.asked_lead and t.short is not None:
                learned = zeros.index_add(0, row, t.short.float()) == 0
            else:
                learned = zeros.scatter_reduce(0, row, t.log_probs, "amin") >= math.log(LEARNED)
            done = learned if rows is None else learned[rows]
            if done.any():
                self.cache.leave_out(index, done)


def _require_finite(traces: Sequence[Trace]) -> None:
    for t in traces:
        if not all(map(_finite, (t.log_probs, *t.keys, *t.grads))):
            raise NumericalError(
                "the loss, a key or a gradient of this turn is not finite; the turn was refused and the model is "
                "untouched: look for an extreme input, or use dtype float32."
            )


def _finite(x: Tensor) -> bool:
    """Whether every entry is; its extremes tell, in a fifth of the time of asking each."""
    return not x.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(x))
