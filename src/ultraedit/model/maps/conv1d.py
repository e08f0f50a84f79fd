"""GPT-2's linear map."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ultraedit.model.maps.weight import MatrixMap


class Conv1DMap(MatrixMap):
    """transformers' Conv1D, which keeps its weight as d_in x d_out."""

    holds = Conv1D
    transposed = True

    @staticmethod
    def shape_of(module: nn.Module) -> tuple[int, int]:
        d_in, d_out = cast(Tensor, module.weight).shape
        return d_in, d_out
