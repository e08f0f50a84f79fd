"""What every method in closed form says of itself: its settings, and what it remembers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit import arguments
from ultraedit.core.preserve import DenseMetric, Preserver, SketchMetric
from ultraedit.core.turn import Rows
from ultraedit.errors import ConfigError

Loss = Literal["sum", "batch_mean"]
Metrics: TypeAlias = tuple[DenseMetric | SketchMetric, ...]
Shapes: TypeAlias = tuple[tuple[int, int], ...]
"""(d_in, d_out) of each edited map, in the order they run."""


@dataclass(frozen=True)
class Calibration:
    """What is measured on the unedited model before the first edit, one entry per edited map."""

    output_norms: tuple[float, ...]
    """Root mean square row norm of the map's outputs on ordinary text."""
    metrics: Metrics
    """The metric of ordinary text; empty where the method keeps the identity."""


class State(ABC):
    """What a method remembers of all its turns, and what it makes of the next one.

    The verbs are those of `core.turn.TurnState`, whose equations they are.  Immutable, and of one size whatever the
    number of edits.
    """

    @property
    @abstractmethod
    def steps(self) -> int: ...

    @property
    @abstractmethod
    def ridge(self) -> float: ...

    @abstractmethod
    def observe(self, rows: Sequence[Rows]) -> State: ...

    @abstractmethod
    def values(self, module: int, rows: Sequence[Rows]) -> Float[Tensor, "n d_out"]: ...

    def metric(self, module: int) -> Preserver | None:
        return None

    def remember(self, rows: Sequence[Rows]) -> State:
        return self

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Named tensors, for safetensors.  `Method.load_state` is the inverse, to the bit."""


@dataclass(frozen=True)
class Method(ABC):
    """The settings of one method, and nothing else: what is not a field is not a setting."""

    name: str
    step: float
    steps: int = 1
    """Closed-form steps within one turn; the frozen trunk is computed once."""
    ridge: float = 1.0
    end_token: bool = True
    """Edit the answer together with the token that ends it, so that generation says the answer and stops."""
    modules: str = "auto"
    """Which maps to edit where none are named: "auto" or "paper"."""

    loss: ClassVar[Loss]
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
    def edited_prompt_tokens(self) -> int:
        """Of each prompt, how many of its own tokens are edited with the answer's."""
        return 0

    def check(self) -> None:
        """Raise ConfigError for a setting out of range."""
        arguments.whole(self.steps, "steps", 1)
        if not self.step > 0 or not self.ridge > 0:
            raise ConfigError(f"step {self.step} and ridge {self.ridge} must be above 0.")

    @abstractmethod
    def start(self, shapes: Shapes, calibration: Calibration, device: torch.device) -> State:
        """The state before the first turn."""

    @abstractmethod
    def load_state(
        self, tensors: Mapping[str, Tensor], shapes: Shapes, calibration: Calibration
    ) -> State:
        """The state that `state_dict` gave.  Raises KeyError where a tensor is missing."""

    @abstractmethod
    def keeps(self) -> str:
        """In words, what the state holds, and what was done before the first edit."""
