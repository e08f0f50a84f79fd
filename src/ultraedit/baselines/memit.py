"""MEMIT-style: keys of ordinary text weigh against the edits of each turn.

Source: MEMIT (arXiv 2210.07229, eq. 14): D = (weight C + H'H)^-1 H'R, with C the keys' second moment on text.
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
from ultraedit.model.text import Form


@dataclass(frozen=True)
class MemitSettings(ValueSettings):
    weight: float = 15000.0
    """Of the text's covariance against one edit."""

    def __post_init__(self) -> None:
        require_positive("memit", weight=self.weight)


class Memit(Located):
    """Turns are independent: nothing is kept of earlier ones."""

    needs = Needs(
        training="Gradient descent on one hidden vector an edit, and a pass over ordinary text beforehand.",
        subject="Yes: the key is read at the subject's last token.",
        memory="A covariance of d_in x d_in for each edited map.",
    )

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        settings: MemitSettings,
    ) -> None:
        super().__init__(model, tokenizer, form, modules, settings)
        self._metrics = [
            DenseMetric(_definite(c * settings.weight)) for c in self.text_covariance()
        ]

    def system(self, index: int, keys: Float[Tensor, "n d_in"]) -> DualSolver:
        return DualSolver(keys, 1.0, self._metrics[index])


def _definite(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Lifted by a millionth of its mean eigenvalue: text of fewer tokens than d_in leaves directions empty."""
    lift = 1e-6 * float(matrix.diagonal().mean()) + 1e-12
    return matrix + lift * torch.eye(matrix.shape[0], device=matrix.device)
