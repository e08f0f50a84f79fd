"""AlphaEdit-style: edits are written into the directions that ordinary text hardly uses, round all earlier ones.

Source: AlphaEdit (arXiv 2410.02355): D = (P (K K' + H'H) P + ridge I)^-1 P H'R, with P the projector onto the
eigenvectors of the text's second moment C of small eigenvalue, and K the keys of earlier turns.  The threshold is
relative to C's mean eigenvalue and not absolute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.base import Needs, require_positive
from ultraedit.baselines.located import Located, ValueSettings
from ultraedit.core.preserve import DenseMetric
from ultraedit.core.solve import DualSolver
from ultraedit.errors import ConfigError
from ultraedit.model.text import Form


@dataclass(frozen=True)
class AlphaEditSettings(ValueSettings):
    null: float = 0.1
    """Eigenvalues below this share of the mean one belong to the null space."""
    ridge: float = 1.0

    def __post_init__(self) -> None:
        require_positive("alphaedit", null=self.null, ridge=self.ridge)


class AlphaEdit(Located):
    """Keeps the projected keys of all turns as one matrix a map."""

    needs = Needs(
        training="Gradient descent on one hidden vector an edit, and a pass over ordinary text beforehand.",
        subject="Yes: the key is read at the subject's last token.",
        memory="A projector and a covariance of d_in x d_in for each edited map.",
    )

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        settings: AlphaEditSettings,
    ) -> None:
        super().__init__(model, tokenizer, form, modules, settings)
        self._ridge = settings.ridge
        self._projectors = [_null_space(c, settings.null) for c in self.text_covariance()]
        self._metrics = self._blank()

    def _blank(self) -> list[DenseMetric]:
        return [
            DenseMetric(self._ridge * torch.eye(p.shape[0], device=p.device))
            for p in self._projectors
        ]

    def reset(self) -> None:
        super().reset()
        self._metrics = self._blank()

    def system(self, index: int, keys: Float[Tensor, "n d_in"]) -> DualSolver:
        projected = keys @ self._projectors[index]
        metric = self._metrics[index]
        self._metrics[index] = metric.absorb(projected)
        return DualSolver(projected, 1.0, metric)


def _null_space(covariance: Float[Tensor, "d d"], share: float) -> Float[Tensor, "d d"]:
    """Projector onto the eigenvectors whose eigenvalue is below `share` of the mean.  Raises ConfigError if none is."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = vectors[:, values < share * values.mean()]
    if kept.shape[1] == 0:
        raise ConfigError(f"null of alphaedit is {share}, which leaves no direction; raise it.")
    return kept @ kept.T
