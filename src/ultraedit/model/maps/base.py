"""One map that can be edited, whatever class of module holds it and however it lays its weight out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ultraedit.core.solve import Update


@runtime_checkable  # so that the tests can check the argument types
class Keys(Protocol):
    """What goes into a map, token by token: a tensor, or what makes the rows of some tokens when they are asked for."""

    @property
    def ndim(self) -> int:
        """3 where tokens are asked for by row and column, 2 where by their number."""
        ...

    @property
    def device(self) -> torch.device: ...

    def detach(self) -> Keys: ...

    def __getitem__(self, tokens: Any, /) -> Tensor: ...


See = Callable[[Keys, Tensor], Tensor | None]
"""Given a map's input and output; what it returns takes the output's place."""


@runtime_checkable  # so that the tests can check the argument types
class EditableMap(Protocol):
    """A linear map from d_in to d_out inside a live model.

    Its weight stands in the module's own layout, of r rows and c columns, and in files too.  The layout of several
    matrices in one tensor is their rows, one matrix after the other.
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
    def experts(self) -> int | None:
        """How many matrices, side by side, the weight is made of; None for one that is not divided."""
        ...

    @property
    def parameter_name(self) -> str:
        """Full path of the weight, as `model.get_parameter` takes it."""
        ...

    @property
    def parameter(self) -> nn.Parameter:
        """The weight in its own layout and dtype: in a `reading` block (`model.overlay`) the version's."""
        ...

    @property
    def matrix(self) -> Float[Tensor, "r c"]:
        """`parameter` as rows and columns; shares its memory."""
        ...

    @property
    def live(self) -> nn.Parameter:
        """The live weight, whatever version is being read.

        Raises ModelError where the module no longer has one of its own.
        """
        ...

    @property
    def live_matrix(self) -> Float[Tensor, "r c"]:
        """`live` as rows and columns; shares its memory."""
        ...

    @property
    def chunk_rows(self) -> int:
        """Rows to write at a time, so that their fp32 scratch stays in the processor's caches."""
        ...

    @property
    def device(self) -> torch.device: ...

    def read(self) -> Float[Tensor, "d_in d_out"]:
        """`parameter` in fp32 (fp64 where the model is)."""
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


_taps: ContextVar[frozenset[object]] = ContextVar("_taps", default=frozenset())
"""The `tapped` blocks that this thread and context stands in."""


@contextmanager
def tapped(maps: Sequence[EditableMap], make: Callable[[int], See]) -> Iterator[None]:
    """Inside the block, `make(i)` sees what goes into map i and what comes out, in this thread and context.

    Another thread that runs the same model meanwhile is not seen.
    """
    mine = object()

    def here(see: See) -> See:
        return lambda given, out: see(given, out) if mine in _taps.get() else None

    token = _taps.set(_taps.get() | {mine})
    handles: list[RemovableHandle] = []
    try:
        for i, some in enumerate(maps):
            handles.append(some.tap(here(make(i))))
        yield
    finally:
        for handle in handles:
            handle.remove()
        _taps.reset(token)


def exact(weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In fp32, or in fp64 if the model is: nothing of the original may be lost."""
    return weight if weight.dtype == torch.float64 else weight.float()


def add_rounded(
    original: Float[Tensor, "r c"], shift: Float[Tensor, "r c"], out: Float[Tensor, "r c"]
) -> None:
    """out = original + shift, added in fp32 (or fp64) and rounded to the dtype of `out`."""
    if out.dtype in (torch.float32, torch.float64):
        torch.add(original, shift, out=out)
    else:
        out.copy_((exact(original) + shift).to(out.dtype))
