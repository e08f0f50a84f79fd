"""A second device in memory, so that code for several devices runs with real numbers where there is one processor.

`chip` is a device of torch's own kind for back ends outside it.  A tensor on it holds an ordinary one and computes with
that; what would fail on a machine with two devices fails here too: tensors of both in one operation, an index on a
device that the indexed tensor is not on, numpy.  Import it in a process of its own: it cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

CHIP = torch.device("cpu")
"""The device, once `plugged` ran."""


class Placed(Tensor):
    """A tensor on the chip."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Placed:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CHIP,
        )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"Placed({self.held})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    placed = any(isinstance(x, Placed) for x in given)
    where = kwargs.get("device")
    aim = torch.device(where).type if where is not None else None
    copies = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
    indexes = func.overloadpacket in INDEXING
    apart = [x for x in given if x.dim() and not isinstance(x, Placed)]
    if placed and apart and not copies and not (indexes and isinstance(args[0], Placed)):
        raise RuntimeError(f"{func}: tensors on {CHIP} and on cpu")
    on_chip = aim == CHIP.type if aim is not None else placed
    if func is torch.ops.aten.copy_.default:
        on_chip = isinstance(args[0], Placed)
    if aim == CHIP.type:
        kwargs = kwargs | {"device": "cpu"}
    inner, named = tree_map_only(Placed, lambda x: x.held, (args, kwargs))
    if func is torch.ops.aten._to_copy.default and aim is not None:
        named = {k: v for k, v in named.items() if k != "device"}
    out = func(*inner, **named)
    if not on_chip:
        return out
    made = tree_map_only(Tensor, Placed, out)
    return return_and_correct_aliasing(func, args, kwargs, made) if placed else made


INDEXING = (
    torch.ops.aten.index,
    torch.ops.aten.index_put,
    torch.ops.aten.index_put_,
    torch.ops.aten._unsafe_index,
    torch.ops.aten._index_put_impl_,
)
"""Operations whose indices may lie in memory while the tensor is on a device."""


class _Making(TorchDispatchMode):
    """Catches what makes a tensor on the chip out of nothing, or brings one there."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Writing(TorchFunctionMode):
    """`torch.tensor` is made in memory first: what brings it from there goes past all dispatch."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        where = kwargs.get("device")
        if func is torch.tensor and where is not None and torch.device(where).type == CHIP.type:
            return func(*args, **(kwargs | {"device": "cpu"})).to(CHIP)
        if func is Tensor.tolist and isinstance(args[0], Placed):
            return args[0].held.tolist()
        return func(*args, **kwargs)


@contextmanager
def plugged() -> Iterator[torch.device]:
    """The chip is there inside the block."""
    global CHIP
    if CHIP.type == "cpu":
        _setup_privateuseone_for_python_backend("chip")
        CHIP = torch.device("chip:0")
    with _Making(), _Writing():
        yield CHIP
