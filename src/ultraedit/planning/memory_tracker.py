"""Counts the bytes of all live tensors, by part, while code runs.

Knows nothing of models.  Used over fake tensors, which have sizes but no data: what the code would allocate is then
known without allocating it.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class MemoryTracker(TorchDispatchMode):
    """Tracks every storage that an operation returns until it is freed; enter it after FakeTensorMode.

    Reading a number out of a fake tensor gives 1 (or True): code that checks for finite values goes on as usual.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live: Counter[str] = Counter()
        self.peak = 0
        self.at_peak: dict[str, int] = {}
        self.moment = ""
        self.peak_moment = ""
        self._part = "other"
        self._known: dict[int, tuple[str, int, weakref.ref[Any]]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is allocated inside belongs to `name`."""
        before, self._part = self._part, name
        try:
            yield
        finally:
            self._part = before

    def assign(self, name: str, *tensors: Tensor) -> None:
        """These tensors' storages belong to `name` from now on."""
        for t in tensors:
            key = t.untyped_storage()._cdata
            if key in self._known:
                old, size, ref = self._known[key]
                self.live[old] -= size
                self.live[name] += size
                self._known[key] = (name, size, ref)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
        out = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, out)
        return out

    def _see(self, t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return t
        size = storage.nbytes()
        part = self._part

        def freed(_: object, key: int = key) -> None:
            owner, size, _ref = self._known.pop(key)
            self.live[owner] -= size

        self._known[key] = (part, size, weakref.ref(storage, freed))
        self.live[part] += size
        total = self.live.total()
        if total > self.peak:
            self.peak = total
            self.at_peak = {k: v for k, v in self.live.items() if v}
            self.peak_moment = self.moment
        return t
