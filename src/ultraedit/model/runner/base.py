"""What methods ask of a model that is being edited, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.model.batch import Batch
from ultraedit.model.cache import Prefix
from ultraedit.model.runner.listener import Listener
from ultraedit.model.trace import LossKind, Trace

TokenPairs = Sequence[tuple[list[int], list[int]]]
"""Token ids of prompts, and of what should follow each."""


@runtime_checkable  # so that the tests can check the argument types
class Runner(Protocol):
    """Runs a live model as frozen trunk, top blocks and head, under the weights of now.

    It hears nothing and calls `listener` instead: `Listener.pause` between micro-batches.
    """

    @property
    def listener(self) -> Listener: ...

    @listener.setter
    def listener(self, listener: Listener) -> None: ...

    @property
    def device(self) -> torch.device:
        """Where token ids go."""
        ...

    @property
    def cell_bytes(self) -> int:
        """Bytes of one token's trunk activations."""
        ...

    def batch(self, pairs: TokenPairs, rows: Sequence[int]) -> Batch:
        """One micro-batch of these pairs; `rows` are their places in the caller's list."""
        ...

    def batches(self, pairs: TokenPairs, size: int, begin: int = 0) -> list[Batch]:
        """Micro-batches of at most `size` rows; with `begin` all tokens from that one on can be edited."""
        ...

    def trunks(self, batches: Sequence[Batch]) -> list[Float[Tensor, "_ _ *d"]]:
        """What the frozen blocks make of each batch."""
        ...

    def prefix(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Prefix:
        """What the answer columns read of the prefix columns."""
        ...

    def top(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Float[Tensor, "B T d"]:
        """Hidden states of the answer columns behind the last block and its norm, with gradient if the caller has it
        enabled."""
        ...

    def head(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
        """Logits of such hidden states."""
        ...

    def look(
        self, batch: Batch, trunk: Float[Tensor, "B C *d"], index: int, block: int
    ) -> tuple[Float[Tensor, "B T d_in"], Float[Tensor, "B T d"]]:
        """In the answer columns, without gradient: what goes into edited map `index`, and what block `block` gives."""
        ...

    def above(self, block: int) -> Runner:
        """The same model with the blocks up to this one, and this one too, in its trunk."""
        ...

    def text_keys(
        self, windows: Sequence[list[int]], size: int
    ) -> Iterator[list[tuple[Float[Tensor, "m _"], float]]]:
        """Keys and output sizes of ordinary text, `size` windows at once (`model.trace.text_keys`)."""
        ...

    def states(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows longest d"]:
        """Hidden states of whole texts behind the last block and its norm, from column 0 on, without gradient."""
        ...

    def trace(
        self,
        batch: Batch,
        trunk: Float[Tensor, "B C *d"],
        loss: LossKind | None,
        prefix: Prefix | None = None,
        lead: float | Float[Tensor, " a"] = 0.0,
        teacher: Float[Tensor, "a d"] | None = None,
    ) -> Trace:
        """Keys, gradients and answer probabilities of one micro-batch (`model.trace`)."""
        ...

    def answer_states(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Float[Tensor, "a d"]:
        """What the head reads at each answer token."""
        ...

    def score(self, pairs: TokenPairs, size: int) -> list[Trace]:
        """The pairs through the weights of now, without gradient, `size` at once at most."""
        ...

    def generate(
        self,
        prompts: Sequence[list[int]],
        max_new_tokens: int,
        stop_ids: frozenset[int],
        batch_size: int = 32,
    ) -> list[list[int]]:
        """The most likely continuation of each prompt, without the stop token."""
        ...
