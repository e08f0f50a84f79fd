"""The runner of a model in one process, on one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ultraedit.model.batch import Batch
from ultraedit.model.cache import Prefix
from ultraedit.model.generate import greedy_ids
from ultraedit.model.runner.base import TokenPairs
from ultraedit.model.runner.listener import Listener
from ultraedit.model.runner.rows import pad_right, run_decoder
from ultraedit.model.stack import Stack
from ultraedit.model.steady import steady
from ultraedit.model.trace import LossKind, Trace, answer_states, text_keys, trace
from ultraedit.model.weights import EditedWeight


class LocalRunner:
    """A `Runner` over the parts of one model."""

    def __init__(self, stack: Stack, weights: Sequence[EditedWeight]) -> None:
        self.stack = stack
        self.weights = tuple(weights)

    @property
    def listener(self) -> Listener:
        return self.stack.listener

    @listener.setter
    def listener(self, listener: Listener) -> None:
        self.stack.listener = listener

    @property
    def device(self) -> torch.device:
        return self.stack.device

    @property
    def cell_bytes(self) -> int:
        return self.stack.cell_bytes

    def batch(self, pairs: TokenPairs, rows: Sequence[int]) -> Batch:
        return self.stack.batch(pairs, rows)

    def batches(self, pairs: TokenPairs, size: int, begin: int = 0) -> list[Batch]:
        return self.stack.batches(pairs, size, begin)

    def trunks(self, batches: Sequence[Batch]) -> list[Float[Tensor, "_ _ *d"]]:
        return self.stack.trunks(batches)

    def prefix(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Prefix:
        return self.stack.prefix(batch, trunk)

    def top(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Float[Tensor, "B T d"]:
        return self.stack.top(batch, trunk)

    def head(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
        return self.stack.head(states)

    @torch.no_grad()
    def look(
        self, batch: Batch, trunk: Float[Tensor, "B C *d"], index: int, block: int
    ) -> tuple[Float[Tensor, "B T d_in"], Float[Tensor, "B T d"]]:
        seen: dict[str, Tensor] = {}

        def keep_input(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["given"] = args[0]  # the suffix runs last, and holds everything

        def keep_output(_: nn.Module, args: object, out: Tensor | tuple[Tensor, ...]) -> None:
            seen["hidden"] = out[0] if isinstance(out, tuple) else out

        handles = [
            self.weights[index].module.register_forward_pre_hook(keep_input),
            self.stack.blocks[block].register_forward_hook(keep_output),
        ]
        try:
            self.stack.top(batch, trunk)
        finally:
            for handle in handles:
                handle.remove()
        return seen["given"].reshape(*batch.suffix_ids.shape, -1), seen["hidden"]

    def above(self, block: int) -> LocalRunner:
        return LocalRunner(self.stack.above(block), self.weights)

    def text_keys(
        self, windows: Sequence[list[int]], size: int
    ) -> Iterator[list[tuple[Float[Tensor, "m _"], float]]]:
        return text_keys(self.stack, self.weights, windows, size)

    @torch.no_grad()
    def states(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows longest d"]:
        with steady(self.stack.model):
            return run_decoder(self.stack.model, *pad_right(rows))

    def trace(
        self,
        batch: Batch,
        trunk: Float[Tensor, "B C *d"],
        loss: LossKind | None,
        prefix: Prefix | None = None,
        lead: float | Float[Tensor, " a"] = 0.0,
        teacher: Float[Tensor, "a d"] | None = None,
    ) -> Trace:
        found = trace(self.stack, self.weights, batch, trunk, loss, prefix, lead, teacher)
        self.listener.pause()
        return found

    def answer_states(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Float[Tensor, "a d"]:
        found = answer_states(self.stack, batch, trunk)
        self.listener.pause()
        return found

    def score(self, pairs: TokenPairs, size: int) -> list[Trace]:
        batches = self.batches(pairs, size)
        trunks = self.trunks(batches)
        return [self.trace(b, t, None) for b, t in zip(batches, trunks, strict=True)]

    def generate(
        self,
        prompts: Sequence[list[int]],
        max_new_tokens: int,
        stop_ids: frozenset[int],
        batch_size: int = 32,
    ) -> list[list[int]]:
        return greedy_ids(self.stack.model, prompts, max_new_tokens, stop_ids, batch_size)
