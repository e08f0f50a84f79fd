"""Keys and values that are made once and read often: those of a batch's prefix, and of tokens that all rows share."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig

Prefix = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of a batch's prefix columns in each block from the first edited one on."""


@dataclass(frozen=True)
class Shared:
    """What the trunk makes of the tokens that a batch's rows share."""

    ids: tuple[int, ...]
    states: Prefix
    """Of the trunk's blocks, one row."""
    hidden: Float[Tensor, "1 L *d"]
    """Input of block `first`."""


class PrefixFinished(Exception):  # noqa: N818 - not an error
    """Thrown out of the model's own forward once the prefix has left all it has to leave."""


class PrefixCache(DynamicCache):
    """Writes keys and values down, and ends the run at the block where nothing that follows is used."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config=config)
        self.states: Prefix = {}
        self.end: int | None = None

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        self.states[layer_idx] = found
        if layer_idx == self.end:
            raise PrefixFinished
        return found


def repeat(states: Tensor, rows: int) -> Tensor:
    """One row's keys or values for many rows, without copying."""
    return states.expand(rows, *states.shape[1:])
