"""What all modules have in common that hold the weight of a linear map as one parameter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils.hooks import RemovableHandle

from ultraedit.core.solve import Update
from ultraedit.errors import ModelError
from ultraedit.model.devices import pinned
from ultraedit.model.maps.base import See, add_rounded, exact
from ultraedit.model.overlay import live_parameter

CHUNK_ROWS = 128
"""Rows of one matrix written at a time: a copy is 8 MB at Mistral's width."""


class WeightMap(ABC):
    """An `EditableMap` over one parameter of a module."""

    key: ClassVar[str] = "weight"
    """The parameter's name in its module."""
    transposed: bool

    @classmethod
    @abstractmethod
    def fits(cls, module: nn.Module) -> bool:
        """Whether a module is a map of this kind and holds its weight."""

    @staticmethod
    @abstractmethod
    def shape_of(module: nn.Module) -> tuple[int, int]:
        """(d_in, d_out) of a module that fits."""

    def __init__(self, name: str, module: nn.Module) -> None:
        """Raises ModelError for a weight that cannot be written in place, or whose writing would not last."""
        require_plain(name, module, self.key)
        self.name = name
        self.module = module
        self.shape = self.shape_of(module)

    @property
    def experts(self) -> int | None:
        return None

    @property
    def parameter_name(self) -> str:
        return f"{self.name}.{self.key}"

    @property
    def parameter(self) -> nn.Parameter:
        return getattr(self.module, self.key)

    @property
    def matrix(self) -> Float[Tensor, "r c"]:
        return self.parameter.detach().flatten(0, -2)

    @property
    def live(self) -> nn.Parameter:
        found = live_parameter(self.module, self.key)
        if found is None:
            raise computed(self.name, self.module)
        return found

    @property
    def live_matrix(self) -> Float[Tensor, "r c"]:
        return self.live.data.flatten(0, -2)

    @property
    def chunk_rows(self) -> int:
        return CHUNK_ROWS

    @property
    def device(self) -> torch.device:
        return self.parameter.device

    def read(self) -> Float[Tensor, "d_in d_out"]:
        weight = self.matrix
        return exact(weight if self.transposed else weight.T)

    def rows_of(self, update: Update, rows: slice) -> Float[Tensor, "_ c"]:
        if self.transposed:
            return update.left[:, rows].T @ update.right
        return update.right[:, rows].T @ update.left

    @torch.no_grad()
    def write(
        self, rows: slice, original: Float[Tensor, "_ c"], shift: Float[Tensor, "_ c"]
    ) -> None:
        add_rounded(original, shift, out=self.live_matrix[rows])

    @torch.no_grad()
    def add(self, rows: slice, delta: Float[Tensor, "_ c"]) -> None:
        live = self.live_matrix
        live[rows] += delta.to(live.dtype)

    def tap(self, see: See) -> RemovableHandle:
        def hook(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
            return see(args[0], out)

        return self.module.register_forward_hook(hook)


def computed(name: str, module: nn.Module) -> ModelError:
    """The refusal of a module that has no weight of its own."""
    return ModelError(
        f"'{name}' makes its weight anew at every call ({type(module).__name__}, by a parametrization or pruning), "
        "so an edit would not last; remove that first."
    )


class MatrixMap(WeightMap):
    """A module that holds one plain matrix called `weight`."""

    holds: ClassVar[type[nn.Module]]
    """The class of module it is for."""

    @classmethod
    def fits(cls, module: nn.Module) -> bool:
        if not isinstance(module, cls.holds):
            return False
        weight = module.weight
        return isinstance(weight, Tensor) and weight.ndim == 2


def require_plain(name: str, module: nn.Module, key: str = "weight") -> None:
    """Raise ModelError for a weight that cannot be written in place, or whose writing would not last."""
    weight = getattr(module, key)
    if not isinstance(weight, Tensor):  # packed by torch's own quantisation
        raise ModelError(
            f"'{name}' is quantised and cannot be edited; leave it out of quantisation."
        )
    if weight.is_meta:
        raise ModelError(
            f"'{name}' is to be edited and is not in memory, because device_map or offloading leaves its weight on the "
            f'meta device between calls; give its block a device, as device_map={{..., "{pinned(name)}": "cpu"}} '
            "(with a GPU the GPU's number), or name modules that are not offloaded."
        )
    if not weight.is_floating_point() or weight.dtype.itemsize < 2:
        raise ModelError(
            f"'{name}' holds {weight.dtype} weights, which cannot be edited; "
            "leave the edited projections out of quantisation."
        )
    if weight is not module._parameters.get(key):
        raise computed(name, module)
    if is_traceable_wrapper_subclass(weight):
        raise ModelError(
            f"'{name}' holds its weight as {type(weight).__name__} (quantised or spread over devices), which cannot be "
            "edited; leave the edited projections out of that."
        )
    if weight.is_inference():
        raise ModelError(
            f"'{name}' was made inside torch.inference_mode, where nothing can be differentiated; load the model "
            "outside of it."
        )
