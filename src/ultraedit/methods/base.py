"""What an editor is: its settings, what it remembers, and how it takes a turn.

A `Method` is settings and nothing else.  Its `Engine` is the method at work on one model.  Its `State` is what it
remembers of all turns: it goes into a turn, comes out of it, and can be kept in a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.core.metric import DenseMetric, SketchMetric
from ultraedit.core.solve import Update
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError
from ultraedit.model.find import Structure
from ultraedit.model.form import PromptForm
from ultraedit.model.runner.base import Runner
from ultraedit.model.text import PromptEncoder
from ultraedit.model.weights import EditedWeight

Ids: TypeAlias = tuple[list[int], list[int]]
"""Token ids of a prompt and of what should follow it."""
Voice: TypeAlias = Literal["own", "bare"]
"""Of answers: in the model's own words, or the target alone."""
Metrics: TypeAlias = tuple[DenseMetric | SketchMetric, ...]
Shapes: TypeAlias = tuple[tuple[int, int], ...]
"""(d_in, d_out) of each edited map, in the order they run."""
Devices: TypeAlias = tuple[torch.device, ...]
"""Where each edited map lies."""


@dataclass(frozen=True)
class Needs:
    """One sentence each, for the table of results."""

    training: str
    subject: str
    memory: str

    def as_dict(self) -> dict[str, str]:
        return {
            "needs, training": self.training,
            "needs, subject": self.subject,
            "needs, memory": self.memory,
        }


@dataclass(frozen=True)
class Calibration:
    """What is measured on the unedited model before the first edit, one entry per edited map."""

    output_norms: tuple[float, ...]
    """Root mean square row norm of the map's outputs on ordinary text; 1 where the method does not ask."""
    metrics: Metrics
    """The metric of ordinary text; empty where the method keeps the identity."""
    key_sizes: tuple[float, ...] = ()
    """Mean square entry of the map's keys on the model's own answers; empty where the method does not ask."""
    answers: tuple[Ids, ...] = ()
    """Everyday requests and the model's own answers; empty where the method does not ask."""

    def on(self, devices: Devices) -> Calibration:
        """The same, with what was measured of each map on its device."""
        if not self.metrics:
            return self
        metrics = zip(self.metrics, devices, strict=True)
        return replace(self, metrics=tuple(_on(device, metric) for metric, device in metrics))


def _on(device: torch.device, metric: DenseMetric | SketchMetric) -> DenseMetric | SketchMetric:
    if isinstance(metric, DenseMetric):
        here = metric.matrix.device == device
        return metric if here else DenseMetric(metric.matrix.to(device))
    here = metric.rows.device == device
    return metric if here else SketchMetric(metric.rows.to(device), metric.rank)


@dataclass(frozen=True)
class LiveModel:
    """A model that is being edited, and its parts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: PromptEncoder
    structure: Structure
    weights: tuple[EditedWeight, ...]
    runner: Runner
    text: str
    """Ordinary text to measure."""
    micro_batch: int
    """Prompts run at once, at most."""
    calibration: Calibration | None = None
    """What an engine of the same settings measured on this model before; the text is then not run."""

    @property
    def shapes(self) -> Shapes:
        return tuple((w.projection.d_in, w.projection.d_out) for w in self.weights)


class State(ABC):
    """What a method remembers of all its turns.  Immutable: a refused turn leaves the old one as it was."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Named tensors, for safetensors.  `Engine.load_state_dict` is the inverse, to the bit."""


@dataclass(frozen=True)
class EncodedTurn:
    """One turn's edits, ready for an engine."""

    pairs: Sequence[Ids]
    owners: Sequence[int]
    """Edit, counted from 0, that each pair belongs to."""
    lengths: Sequence[int]
    """Answer tokens of each edit without an end token, over which its probability is reported; 0 for one that was
    superseded or repeated."""
    written_by: Sequence[int] = ()
    """For each edit the one that was written for its prompt: itself, unless a later one repeats it."""
    records: Sequence[Record] = ()
    """The edits as they came."""

    @property
    def written(self) -> list[int]:
        """The edits that have pairs, in their order."""
        return sorted(set(self.owners))


NO_EDIT = -1
"""Owner of a row that belongs to no edit: of an answer that should stay as it is."""


@dataclass(frozen=True)
class TurnResult:
    """A written turn."""

    owner: Int[Tensor, " n"]
    """The edit that each row of the updates belongs to, or `NO_EDIT`."""
    updates: tuple[Update, ...]
    """The exact low-rank update of each map; none of a method that trains, or leaves the weights alone."""
    state: State
    """What the method remembers after it."""
    probability_before: Float[Tensor, " edits"]
    probability_after: Float[Tensor, " edits"]
    learned: Bool[Tensor, " edits"]
    """Whether all tokens of the answer are the most likely ones."""
    stops: Bool[Tensor, " edits"]
    """Whether the end token, where it is edited, is the most likely one behind the answer."""
    moved: dict[str, float]
    """Module -> size of the turn's change over the size of its original weights (Frobenius)."""


class Engine(ABC):
    """A method at work on one model.  Holds nothing between turns but what was measured before the first."""

    calibration: Calibration
    micro_batch: int
    """Prompts run at once, at most."""

    @abstractmethod
    def start(self) -> State:
        """The state before the first turn."""

    @abstractmethod
    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> State:
        """The state that `state_dict` gave.  Raises KeyError where a tensor is missing."""

    @abstractmethod
    def run(self, turn: EncodedTurn, state: State, put_off: bool = False) -> TurnResult:
        """Write one turn into the model; all of it or nothing.

        Args:
            turn: The edits.
            state: What the method remembers of the turns before.
            put_off: A method that trains takes the turn in and leaves the training to `settle`.
        """

    def settle(self, state: State) -> None:  # noqa: B027 - most methods put nothing off
        """Write what turns put off."""

    def recall(self, prompt: str, state: State) -> str:
        """The prompt as the model is asked it."""
        return prompt


@dataclass(frozen=True)
class Method(ABC):
    """The settings of one method, and nothing else: what is not a field is not a setting."""

    name: str
    end_token: bool = True
    """Edit the answer together with the token that ends it, so that generation says the answer and stops."""
    modules: str = "auto"
    """Which maps to edit where none are named: "auto", "upper" or "paper"."""
    voice: str = "bare"
    """What is written as the answer: "bare", the target alone; "own", a sentence in the model's own words that holds
    it; "auto", own words where prompts are put through a chat template."""
    wordings: int = 0
    """Further wordings of each prompt that the unedited model makes and that are written with it."""

    extra: ClassVar[str | None] = None
    """The extra of pyproject.toml that it needs."""
    writes_weights: ClassVar[bool] = True
    """Off for a method that keeps its edits beside the model: a saved folder would hold none."""

    stated_needs: ClassVar[Needs]
    """What it needs whatever its settings are; a method whose needs depend on them says so in `needs`."""

    @property
    def needs(self) -> Needs:
        """What it needs, for the table of results."""
        return self.stated_needs

    def voice_in(self, form: PromptForm) -> Voice:
        """The voice where prompts have this form.  Raises ConfigError for an unknown voice."""
        if self.voice not in ("auto", "own", "bare"):
            raise ConfigError(f'voice is "{self.voice}"; it is "auto", "own" or "bare".')
        own = self.voice == "own" or (self.voice == "auto" and form == "chat")
        return "own" if own else "bare"

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError for a setting out of range."""

    @abstractmethod
    def engine(self, live: LiveModel) -> Engine:
        """The method at work on `live`."""


def require_positive(name: str, **values: float) -> None:
    """Raise ConfigError for a setting of method `name` that is not above 0."""
    for key, value in values.items():
        if not value > 0:
            raise ConfigError(f"{key} of {name} is {value}; it must be above 0.")


def require_undivided(method: str, weights: Sequence[EditedWeight]) -> None:
    """Raise ConfigError for a method that cannot write the joint map of a layer's experts."""
    experts = next((w.name for w in weights if w.experts), None)
    if experts is not None:
        raise ConfigError(
            f"{method} does not edit experts, and '{experts}' holds a layer's: name plain linear maps with "
            "modules=[...] (a shared expert, or a dense layer), or take a preset in closed form or finetune."
        )


class PlainEngine(Engine):
    """An engine that measures nothing before the first turn."""

    def __init__(self, live: LiveModel) -> None:
        self.live = live
        self.calibration = unmeasured_maps(len(live.weights))
        self.micro_batch = live.micro_batch


def unmeasured_maps(count: int) -> Calibration:
    """The calibration of a method that measures nothing."""
    return Calibration((1.0,) * count, ())


@contextmanager
def shifts_or_nothing(weights: Sequence[EditedWeight]) -> Iterator[list[Tensor]]:
    """What the block does to the weights, or, on any error, the weights as they were; yields their shifts before."""
    before = [w.shift for w in weights]
    try:
        yield before
    except BaseException:
        for w, shift in zip(weights, before, strict=True):
            w.set_shift(shift)
        raise


def take_back(weights: Sequence[EditedWeight]) -> None:
    """The original weights."""
    for w in weights:
        w.set_shift(torch.zeros_like(w.shift))
