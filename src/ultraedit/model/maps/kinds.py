"""The kinds of editable map.

A new kind (weights split over devices) is a file beside this one and an entry of KINDS.
"""

from __future__ import annotations

from torch import nn

from ultraedit.errors import ModelError
from ultraedit.model.maps.base import EditableMap
from ultraedit.model.maps.conv1d import Conv1DMap
from ultraedit.model.maps.experts import ExpertsMap
from ultraedit.model.maps.linear import LinearMap
from ultraedit.model.maps.weight import WeightMap

KINDS: tuple[type[WeightMap], ...] = (LinearMap, Conv1DMap, ExpertsMap)


def kind_of(module: nn.Module) -> type[WeightMap] | None:
    """The kind of editable map that a module is, if it is one and holds its weight."""
    return next((kind for kind in KINDS if kind.fits(module)), None)


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
