"""The kinds of editable map.

A new kind (experts, quantised weights, weights split over devices) is a file beside this one and an entry of KINDS.
"""

from __future__ import annotations

import torch
from torch import nn

from ultraedit.errors import ModelError
from ultraedit.model.maps.base import EditableMap
from ultraedit.model.maps.conv1d import Conv1DMap
from ultraedit.model.maps.linear import LinearMap

KINDS = (LinearMap, Conv1DMap)


def kind_of(module: nn.Module) -> type[LinearMap | Conv1DMap] | None:
    """The kind of editable map that a module is, if it is one and holds a plain matrix."""
    for kind in KINDS:
        if isinstance(module, kind.holds):
            weight = module.weight
            return kind if isinstance(weight, torch.Tensor) and weight.ndim == 2 else None
    return None


def map_shape(module: nn.Module) -> tuple[int, int] | None:
    """(d_in, d_out) of a module that is an editable map, else None."""
    kind = kind_of(module)
    return None if kind is None else kind.shape_of(module)


def take_map(name: str, module: nn.Module) -> EditableMap:
    """The editable map that a module is.

    Raises ModelError where it is none, or its weight is packed, computed or not in memory.
    """
    kind = kind_of(module)
    if kind is None:
        raise ModelError(
            f"'{name}' is a {type(module).__name__} without a plain matrix, which cannot be edited; name other modules."
        )
    return kind(name, module)
