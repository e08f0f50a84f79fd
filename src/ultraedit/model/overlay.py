"""Another version of the edited maps for a reader, while the live weights stay where they are.

Inside a `reading` block the modules of the maps show the version's weights wherever somebody asks for their
parameters: their own `forward` (and what other packages put around it), `state_dict`, `named_parameters`.  The live
parameters are neither written nor swapped, so a turn may write them meanwhile, and the block holds for its own thread
and context alone: two threads can read two versions of one model at once.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ultraedit.errors import ModelError
from ultraedit.model.maps.base import EditableMap


@dataclass(frozen=True, eq=False)
class Version:
    """The weights of the edited maps at one moment, in the order of the maps.

    Nobody may write into the tensors: readers that pin a version share them.
    """

    weights: tuple[Tensor, ...]
    """In each map's own layout of rows and columns, and in the model's dtype."""


Seen = Mapping[int, tuple[nn.Parameter, nn.Parameter]]
"""Id of a live parameter -> itself, and what is shown in its place."""

_seen: ContextVar[Seen] = ContextVar("_seen", default={})  # noqa: B039 - never written into
_lock = threading.Lock()


@contextmanager
def reading(maps: Sequence[EditableMap], version: Version) -> Iterator[None]:
    """Run the model with the weights of `version` inside the block, in this thread and context.

    A dtype or device that the model is given inside the block (`model.half()`) is given to the live weights at its
    end.  A block may stand inside another, whose maps it then shows in its own version.

    Raises ModelError for a version of other maps.
    """
    outer = _seen.get()
    seen = dict(outer)
    own: list[tuple[nn.Parameter, nn.Parameter, torch.dtype, torch.device]] = []
    shapes = [tuple(w.shape) for w in version.weights]
    if shapes != [tuple(m.live_matrix.shape) for m in maps]:
        raise ModelError(
            f"this version has weights of shapes {shapes} and is of other maps than "
            f"{', '.join(m.name for m in maps)}; read it with the maps that it was made of."
        )
    with torch.inference_mode(False):
        for some, weight in zip(maps, version.weights, strict=True):
            live, now = some.live, some.parameter
            shown = nn.Parameter(
                weight.to(now.device, now.dtype).view_as(live), requires_grad=False
            )
            seen[id(live)] = (live, shown)
            own.append((live, shown, now.dtype, now.device))
    with ExitStack() as installed:
        for some in maps:
            installed.enter_context(_showing(some.module))
        token = _seen.set(seen)
        try:
            yield
        finally:
            _seen.reset(token)
            for live, shown, dtype, device in own:
                if (shown.dtype, shown.device) != (dtype, device):
                    for other in {id(p): p for p in (live, *outer.get(id(live), ()))}.values():
                        other.data = other.data.to(shown.device, shown.dtype)


def live_parameter(module: nn.Module, key: str) -> nn.Parameter | None:
    """A module's own parameter, whatever version is being read; None where it has none of that name."""
    return dict.get(module._parameters, key)


class _Parameters(dict[str, Any]):
    """The parameters of one module, as the reader of the moment is to see them."""

    def __init__(self, plain: dict[str, Any]) -> None:
        super().__init__(plain)
        self.plain = plain
        """The module's own dict, which it gets back."""
        self.readers = 0

    def __getitem__(self, key: str) -> Any:
        own = super().__getitem__(key)
        found = _seen.get().get(id(own))
        return own if found is None else found[1]

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        return self.copy().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return self.copy().values()

    def copy(self) -> dict[str, Any]:
        return {key: self[key] for key in self}

    def __iter__(self) -> Iterator[str]:
        # where a subclass has this of its own, dict(...) and ** ask it for each value
        return super().__iter__()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)


@contextmanager
def _showing(module: nn.Module) -> Iterator[None]:
    """The module's parameters are asked for by way of `_Parameters` while any reader is at it."""
    with _lock:
        held = module.__dict__["_parameters"]
        if not isinstance(held, _Parameters):
            held = module.__dict__["_parameters"] = _Parameters(held)
        held.readers += 1
    try:
        yield
    finally:
        with _lock:
            held.readers -= 1
            if held.readers == 0:
                # what was registered or removed meanwhile goes into the module's own dict
                held.plain.clear()
                held.plain.update((key, dict.__getitem__(held, key)) for key in held)
                module.__dict__["_parameters"] = held.plain
