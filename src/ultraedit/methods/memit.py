"""MEMIT-style: keys of ordinary text weigh against the edits of each turn.

Source: MEMIT (arXiv 2210.07229, eq. 14): D = (weight C + H'H)^-1 H'R, with C the keys' second moment on text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.metric import DenseMetric
from ultraedit.core.solve import DualSolver
from ultraedit.methods.base import LiveModel, Needs, State, require_positive
from ultraedit.methods.located import Located, LocatedEngine, needs_of_located


@dataclass(frozen=True)
class Memit(Located):
    weight: float = 15000.0
    """Of the text's covariance against one edit."""

    stated_needs: ClassVar[Needs] = needs_of_located(
        "A covariance of d_in x d_in for each edited map."
    )

    def check(self) -> None:
        super().check()
        require_positive(self.name, weight=self.weight)

    def engine(self, live: LiveModel) -> MemitEngine:
        return MemitEngine(live, self)


@dataclass(frozen=True)
class Nothing(State):
    """Turns are independent: nothing is kept of earlier ones."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}


class MemitEngine(LocatedEngine):
    def __init__(self, live: LiveModel, method: Memit) -> None:
        super().__init__(live, method)
        self._metrics = [DenseMetric(_definite(c * method.weight)) for c in self.text_covariance]

    def start(self) -> Nothing:
        return Nothing()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> Nothing:
        return Nothing()

    def system(self, index: int, keys: Float[Tensor, "n d_in"], state: State) -> DualSolver:
        return DualSolver(keys, 1.0, self._metrics[index])

    def remember(self, state: State, keys: Sequence[Float[Tensor, "n d_in"]]) -> State:
        return state


def _definite(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Lifted by a millionth of its mean eigenvalue: text of fewer tokens than d_in leaves directions empty."""
    lift = 1e-6 * float(matrix.diagonal().mean()) + 1e-12
    return matrix + lift * torch.eye(matrix.shape[0], device=matrix.device)


PRESETS = {"memit": Memit("memit")}
