"""torch's own linear map."""

from __future__ import annotations

from typing import cast

from torch import nn

from ultraedit.model.maps.weight import MatrixMap


class LinearMap(MatrixMap):
    """nn.Linear, which keeps its weight as d_out x d_in."""

    holds = nn.Linear
    transposed = False

    @staticmethod
    def shape_of(module: nn.Module) -> tuple[int, int]:
        linear = cast(nn.Linear, module)
        return linear.in_features, linear.out_features
