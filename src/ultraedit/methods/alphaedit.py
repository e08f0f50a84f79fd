"""AlphaEdit-style: edits are written into the directions that ordinary text hardly uses, round all earlier ones.

Source: AlphaEdit (arXiv 2410.02355): D = (P (K K' + H'H) P + ridge I)^-1 P H'R, with P the projector onto the
eigenvectors of the text's second moment C of small eigenvalue, and K the keys of earlier turns.  The threshold is
relative to C's mean eigenvalue and not absolute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.decompose import eigen
from ultraedit.core.metric import DenseMetric
from ultraedit.core.solve import DualSolver
from ultraedit.errors import ConfigError
from ultraedit.methods.base import LiveModel, Needs, State, require_positive
from ultraedit.methods.located import Located, LocatedEngine, needs_of_located


@dataclass(frozen=True)
class AlphaEdit(Located):
    null: float = 0.1
    """Eigenvalues below this share of the mean one belong to the null space."""
    ridge: float = 1.0

    stated_needs: ClassVar[Needs] = needs_of_located(
        "A projector and a covariance of d_in x d_in for each edited map."
    )

    def check(self) -> None:
        super().check()
        require_positive(self.name, null=self.null, ridge=self.ridge)

    def engine(self, live: LiveModel) -> AlphaEditEngine:
        return AlphaEditEngine(live, self)


@dataclass(frozen=True)
class KeysOfAll(State):
    """The projected keys of all turns, as one matrix a map."""

    metrics: tuple[DenseMetric, ...]

    def state_dict(self) -> dict[str, Tensor]:
        return {f"metrics.{i}.matrix": m.matrix for i, m in enumerate(self.metrics)}


class AlphaEditEngine(LocatedEngine):
    def __init__(self, live: LiveModel, method: AlphaEdit) -> None:
        super().__init__(live, method)
        self._ridge = method.ridge
        self.projectors = [_null_space(c, method.null) for c in self.text_covariance]

    def start(self) -> KeysOfAll:
        blank = (self._ridge * torch.eye(p.shape[0], device=p.device) for p in self.projectors)
        return KeysOfAll(tuple(map(DenseMetric, blank)))

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> KeysOfAll:
        maps = range(len(self.projectors))
        return KeysOfAll(tuple(DenseMetric(tensors[f"metrics.{i}.matrix"]) for i in maps))

    def system(self, index: int, keys: Float[Tensor, "n d_in"], state: State) -> DualSolver:
        assert isinstance(state, KeysOfAll)
        return DualSolver(keys @ self.projectors[index], 1.0, state.metrics[index])

    def remember(self, state: State, keys: Sequence[Float[Tensor, "n d_in"]]) -> KeysOfAll:
        assert isinstance(state, KeysOfAll)
        parts = zip(state.metrics, keys, self.projectors, strict=True)
        return KeysOfAll(tuple(metric.absorb(k @ p) for metric, k, p in parts))


def _null_space(covariance: Float[Tensor, "d d"], share: float) -> Float[Tensor, "d d"]:
    """Projector onto the eigenvectors whose eigenvalue is below `share` of the mean.  Raises ConfigError if none is."""
    values, vectors = eigen(covariance)
    kept = vectors[:, values < share * values.mean()]
    if kept.shape[1] == 0:
        raise ConfigError(f"null of alphaedit is {share}, which leaves no direction; raise it.")
    return kept @ kept.T


PRESETS = {"alphaedit": AlphaEdit("alphaedit")}
