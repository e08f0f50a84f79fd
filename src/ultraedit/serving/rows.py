"""Keys and values of requests that are generated together: rows of one buffer, aligned on the right.

transformers' own cache copies all of itself at every token.  This one has room to grow, and rows join and leave it.
Every layer keeps all its columns; a family with sliding windows masks what is too old.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64
"""Columns that a buffer has to spare when it is made."""


class RowsLayer(DynamicLayer):
    """One layer's keys and values; `keys` and `values` are what is filled of the buffers behind them."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[Tensor, Tensor] | None = None
        self._length = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new columns behind the others, and return all of them."""
        length = self._length + key_states.shape[-2]
        if self._buffers is None or length > self._buffers[0].shape[-2]:
            kept = self._filled()
            self._buffers = (
                _buffer(key_states, length + ROOM),
                _buffer(value_states, length + ROOM),
            )
            if kept is not None:
                for buffer, old in zip(self._buffers, kept, strict=True):
                    buffer[:, :, : self._length] = old
        keys, values = self._buffers
        keys[:, :, self._length : length] = key_states
        values[:, :, self._length : length] = value_states
        self._length = length
        self.is_initialized = True
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self._length

    def select(self, rows: list[int], first: int) -> None:
        """Keep some rows, without their first columns, which are padding to all of them."""
        filled = self._filled()
        if filled is not None:
            self._take([part[rows, :, first:] for part in filled], self._length - first)

    def join(self, other: RowsLayer) -> None:
        """Put the rows of another below these, both aligned on the right."""
        mine, theirs = self._filled(), other._filled()
        if mine is None or theirs is None:
            if theirs is not None:
                self._take(list(theirs), other._length)
            return
        length = max(self._length, other._length)
        made = []
        for above, below in zip(mine, theirs, strict=True):
            rows = above.shape[0] + below.shape[0]
            buffer = above.new_zeros(rows, above.shape[1], length + ROOM, above.shape[3])
            buffer[: above.shape[0], :, length - self._length : length] = above
            buffer[above.shape[0] :, :, length - other._length : length] = below
            made.append(buffer)
        self._take(made, length)

    def _filled(self) -> tuple[Tensor, Tensor] | None:
        if self._buffers is None:
            return None
        keys, values = self._buffers
        return keys[:, :, : self._length], values[:, :, : self._length]

    def _take(self, buffers: list[Tensor], length: int) -> None:
        self._buffers = (buffers[0], buffers[1])
        self._length = length
        self.is_initialized = True
        self.keys, self.values = (part[:, :, :length] for part in buffers)


class RowsCache(Cache):
    """The keys and values of a batch."""

    def __init__(self, layers: int) -> None:
        self._rows: list[RowsLayer] = [RowsLayer() for _ in range(layers)]
        super().__init__(layers=list(self._rows))

    def select(self, rows: Sequence[int], first: int) -> None:
        """Keep some rows, without the first columns."""
        for layer in self._rows:
            layer.select(list(rows), first)

    def join(self, other: RowsCache) -> None:
        """Take in the rows of another cache, below these."""
        for mine, theirs in zip(self._rows, other._rows, strict=True):
            mine.join(theirs)


def _buffer(states: Tensor, columns: int) -> Tensor:
    rows, heads, _, width = states.shape
    return states.new_zeros(rows, heads, columns, width)
