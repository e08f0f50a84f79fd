"""One map that can be edited, whatever class of module holds it and however it lays its weight out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ultraedit.core.solve import Update

See = Callable[[Tensor, Tensor], Tensor | None]
"""Given a map's input and output; what it returns takes the output's place."""


@runtime_checkable  # so that the tests can check the argument types
class EditableMap(Protocol):
    """A linear map from d_in to d_out inside a live model.

    Its weight stands in the module's own layout, of r rows and c columns, and in files too.
    """

    @property
    def name(self) -> str:
        """Full path inside the model, as `model.get_submodule` takes it."""
        ...

    @property
    def module(self) -> nn.Module: ...

    @property
    def shape(self) -> tuple[int, int]:
        """(d_in, d_out)."""
        ...

    @property
    def transposed(self) -> bool:
        """Whether the weight is laid out as d_in x d_out, and not as nn.Linear's d_out x d_in."""
        ...

    @property
    def parameter(self) -> nn.Parameter:
        """The weight, in its own layout and dtype."""
        ...

    @property
    def device(self) -> torch.device: ...

    def read(self) -> Float[Tensor, "d_in d_out"]:
        """The weight in fp32 (fp64 where the model is)."""
        ...

    def rows_of(self, update: Update, rows: slice) -> Float[Tensor, "_ c"]:
        """Some rows of an update, in the weight's own layout."""
        ...

    def write(
        self, rows: slice, original: Float[Tensor, "_ c"], shift: Float[Tensor, "_ c"]
    ) -> None:
        """Make some rows of the live weight original + shift, added in fp32 and rounded to the weight's dtype."""
        ...

    def add(self, rows: slice, delta: Float[Tensor, "_ c"]) -> None:
        """Round some rows of a change to the weight's dtype, and add them there."""
        ...

    def tap(self, see: See) -> RemovableHandle:
        """Call `see` with every input and output of the map, until the handle is removed."""
        ...


@contextmanager
def tapped(maps: Sequence[EditableMap], make: Callable[[int], See]) -> Iterator[None]:
    """Inside the block, `make(i)` sees what goes into map i and what comes out."""
    handles = [m.tap(make(i)) for i, m in enumerate(maps)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def exact(weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In fp32, or in fp64 if the model is: nothing of the original may be lost."""
    return weight if weight.dtype == torch.float64 else weight.float()
