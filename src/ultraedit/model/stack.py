"""The model seen as frozen trunk | top blocks | head, run through its own code.

Nothing below the first edited block ever changes, so its output is computed once and kept.  The parts are run by
calling the model's own forward with some blocks replaced by pass-throughs: masks, rotary tables, embedding scales,
soft caps and head biases all stay the family's own, and nothing of any family is written again here.

How a batch is laid out in columns is `model.batch`'s business: a prefix without gradient, a suffix with, and in front
the tokens that all rows share, which are run once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from ultraedit.errors import ModelError
from ultraedit.model.batch import SHARED_LEAST, Batch, make_batch, make_batches
from ultraedit.model.find import Structure

TRUNK_TOKENS = 512
"""Tokens run together through the trunk.  Measured on a 2-core CPU: fewer or more are slower (docs/lab-notes.md)."""


Prefix = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of a batch's prefix columns in each block from the first edited one on."""


@dataclass(frozen=True)
class _Shared:
    """What the trunk makes of the tokens that a batch's rows share."""

    ids: tuple[int, ...]
    states: Prefix
    """Of the trunk's blocks, one row."""
    hidden: Float[Tensor, "1 L d"]
    """Input of block `first`."""

    def begin(self, length: int) -> _Shared:
        """The same of the first tokens only: a causal model's states do not depend on what follows."""
        if length == len(self.ids):
            return self
        states = {i: (k[..., :length, :], v[..., :length, :]) for i, (k, v) in self.states.items()}
        return _Shared(self.ids[:length], states, self.hidden[:, :length])


class _PrefixFinished(Exception):  # noqa: N818 - not an error
    """Thrown out of the model's own forward once the prefix has left all it has to leave."""


class _PrefixCache(DynamicCache):
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
            raise _PrefixFinished
        return found


class Stack:
    """Runs the parts of one model.  `first` is the index of the first block that may ever change."""

    def __init__(self, model: PreTrainedModel, structure: Structure, first: int) -> None:
        self.model = model
        self.decoder = structure.decoder
        self.blocks = structure.blocks
        self.first = first
        self._tuples = self._blocks_return_tuples()
        self._shared: _Shared | None = None
        window = getattr(self.decoder.config, "sliding_window", None)
        self.share = 0 if first == 0 else int(window or 2**62)
        """Columns up to which leading tokens that a batch's rows have in common are run once.

        Rows of unequal length have a gap behind them, which a sliding window would count.  Where the first block is
        an edited one there is no trunk to spare.
        """

    @property
    def device(self) -> torch.device:
        return next(self.decoder.parameters()).device

    def batch(self, pairs: Sequence[tuple[list[int], list[int]]], rows: Sequence[int]) -> Batch:
        """`make_batch` for this model."""
        return make_batch(pairs, rows, self.device, self.share)

    def batches(self, pairs: Sequence[tuple[list[int], list[int]]], size: int) -> list[Batch]:
        """`make_batches` for this model."""
        return make_batches(pairs, size, self.device, self.share)

    # -- the three parts -------------------------------------------------------------------------

    @torch.no_grad()
    def trunk(self, batch: Batch) -> Float[Tensor, "B C d"]:
        """Input of block `first` for all C = P+T columns (0 where the batch is padded).

        Blocks from `first` on are not run.  Rows are run left-aligned, a few hundred tokens at a time: causal
        attention then needs no mask, and activations of that size stay in a processor's cache.
        """
        kept: list[Tensor] = []

        def keep(hidden: Tensor) -> Tensor:
            kept.append(hidden)
            return hidden

        stubs: dict[int, Callable[[Tensor], Tensor]]
        stubs = dict.fromkeys(range(self.first, len(self.blocks)), _pass_through)
        stubs[self.first] = keep
        ids = torch.cat([batch.prefix_ids, batch.suffix_ids], 1)
        skip = len(batch.shared)
        shared = self._share(batch.shared, stubs, kept)
        lengths = [length - skip for length in batch.lengths]
        found: Tensor | None = None
        with self._stubbed(stubs):
            for chunk in _trunk_chunks(lengths):
                row, place = (c.to(ids.device) for c in _cells(lengths, chunk))
                column = batch.columns(row, place + skip)
                packed = ids.new_zeros(chunk.stop - chunk.start, max(lengths[chunk]))
                here = row - chunk.start
                packed[here, place] = ids[row, column]
                self._decode(packed, cache=self._begun(shared, len(packed)))
                hidden = kept.pop()
                if found is None:
                    found = hidden.new_zeros(*ids.shape, hidden.shape[-1])
                found[row, column] = hidden[here, place]
        assert found is not None  # a batch has rows
        if shared is not None:
            found[:, :skip] = shared.hidden
        return found

    @torch.no_grad()
    def prefix(self, batch: Batch, trunk: Float[Tensor, "B C d"]) -> Prefix:
        """What the answer columns read of the prefix columns in the top blocks, under the weights of now."""
        B, P, L = len(batch.rows), batch.prefix_ids.shape[1], len(batch.shared)
        if L == 0:
            return self._prefix(batch, trunk, slice(0, B), slice(0, P), {})
        once = self._prefix(batch, trunk, slice(0, 1), slice(0, L), {})
        states = {i: (_repeat(k, B), _repeat(v, B)) for i, (k, v) in once.items()}
        return self._prefix(batch, trunk, slice(0, B), slice(L, P), states) if P > L else states

    def _prefix(
        self,
        batch: Batch,
        trunk: Float[Tensor, "B C d"],
        rows: slice,
        columns: slice,
        before: Prefix,
    ) -> Prefix:
        """Keys and values of all columns up to the last of `columns`, given those `before` them."""
        cache = _PrefixCache(self.decoder.config)
        self._pretend_cached(cache, trunk, columns.start, before)
        cache.end = len(self.blocks) - 1
        with suppress(_PrefixFinished):
            self._run_top(
                batch.prefix_ids[rows, columns],
                trunk[rows, columns],
                batch.mask[rows, : columns.stop],
                batch.positions[rows, columns],
                cache,
            )
        return {i: states for i, states in cache.states.items() if i >= self.first}

    def top(
        self, batch: Batch, trunk: Float[Tensor, "B C d"], prefix: Prefix | None = None
    ) -> Float[Tensor, "B T d_head"]:
        """What the head reads in the answer columns: hidden states after the last block and its norm.

        The prefix columns come without gradient, as given or run here.  The answer columns run with gradient if
        the caller has it enabled.
        """
        P = batch.prefix_ids.shape[1]
        states = self.prefix(batch, trunk) if prefix is None else prefix
        cache = DynamicCache(config=self.decoder.config)
        with torch.no_grad():
            self._pretend_cached(cache, trunk, P, states)
        return self._run_top(
            batch.suffix_ids, trunk[:, P:], batch.mask, batch.positions[:, P:], cache
        )

    def head(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
        """Logits of hidden states, with the family's own scaling, bias and soft cap."""
        return head_logits(self.model, rows)

    # -- how ---------------------------------------------------------------------------------------

    def _decode(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        out = self.decoder(
            input_ids=ids,
            attention_mask=None if mask is None else mask.long(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state

    def _run_top(
        self, ids: Tensor, hidden: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache
    ) -> Tensor:
        if self.first == 0:
            return self._decode(ids, mask, positions, cache)
        stubs: dict[int, Callable[[Tensor], Tensor]] = dict.fromkeys(
            range(self.first), _pass_through
        )
        stubs[self.first - 1] = lambda _: hidden
        with self._stubbed(stubs):
            return self._decode(ids, mask, positions, cache)

    def _pretend_cached(
        self, cache: DynamicCache, like: Tensor, length: int, states: Prefix
    ) -> None:
        """Fill a cache with `length` columns: the top blocks' own, and blanks for the blocks that are skipped.

        Masks are sized by the first cache layer of each kind, which lies in the trunk.
        """
        if length == 0:
            return
        blank = torch.zeros(1, 1, length, 1, dtype=like.dtype, device=like.device)
        for index in range(self.first):
            cache.update(blank, blank, index)
        for index, (keys, values) in states.items():
            cache.update(keys, values, index)

    def _share(
        self,
        ids: tuple[int, ...],
        stubs: dict[int, Callable[[Tensor], Tensor]],
        kept: list[Tensor],
    ) -> _Shared | None:
        """The trunk's states of tokens that all rows begin with.  Kept from batch to batch: the trunk is frozen."""
        if not ids:
            return None
        if self._shared is None or self._shared.ids[: len(ids)] != ids:
            cache = _PrefixCache(self.decoder.config)
            with self._stubbed(stubs):
                self._decode(torch.tensor([ids], device=self.device), cache=cache)
            self._shared = _Shared(ids, cache.states, kept.pop())
        return self._shared.begin(len(ids))

    def _begun(self, shared: _Shared | None, rows: int) -> DynamicCache | None:
        """A cache for `rows` rows that has seen the shared tokens."""
        if shared is None:
            return None
        cache = DynamicCache(config=self.decoder.config)
        for index, (keys, values) in shared.states.items():
            cache.update(_repeat(keys, rows), _repeat(values, rows), index)
        return cache

    @contextmanager
    def _stubbed(self, stubs: dict[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        def stub(run: Callable[[Tensor], Tensor]) -> Callable[..., object]:
            def forward(hidden_states: Tensor, *args: object, **kwargs: object) -> object:
                out = run(hidden_states)
                return (out,) if self._tuples else out

            return forward

        for index, run in stubs.items():
            self.blocks[index].forward = stub(run)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for index in stubs:
                del self.blocks[index].forward  # uncovers the class's own forward again

    @torch.no_grad()
    def _blocks_return_tuples(self) -> bool:
        """Whether this family's blocks return (hidden, ...) or hidden; seen by running one token."""
        seen: list[bool] = []
        handle = self.blocks[0].register_forward_hook(
            lambda module, args, out: seen.append(isinstance(out, tuple))
        )
        try:
            token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
            self._decode(token)
        finally:
            handle.remove()
        if not seen:
            raise ModelError(
                f"{type(self.model).__name__} does not run its first block on text alone, so it cannot be split."
            )
        return seen[0]

    @torch.no_grad()
    def check(self) -> None:
        """Compare the split run with the model's own forward on random tokens.

        Raises ModelError where they differ: a family that does work between its blocks cannot be split.
        """
        embeddings = self.decoder.get_input_embeddings()
        vocab = int(embeddings.weight.shape[0])  # type: ignore[union-attr]
        generator = torch.Generator().manual_seed(0)
        draw = torch.randint(0, vocab, (SHARED_LEAST + 10,), generator=generator).tolist()
        pairs = [(draw[:5], draw[5:7]), (draw[7:9], draw[9:10])]
        wrong = self._compare(pairs)
        if wrong is not None:
            raise ModelError(
                f"{type(self.model).__name__} {wrong}, so it cannot be edited by this version."
            )
        begin = draw[10:]
        self.shares = (
            self._compare([([*begin, *prompt], target) for prompt, target in pairs]) is None
        )

    def _compare(self, pairs: Sequence[tuple[list[int], list[int]]]) -> str | None:
        """What is wrong with running these in parts; None where it gives the model's own logits."""
        batch = self.batch(pairs, range(len(pairs)))
        try:
            split = self.head(self.top(batch, self.trunk(batch))[batch.answers])
            whole = self.model(
                input_ids=torch.cat([batch.prefix_ids, batch.suffix_ids], 1),
                attention_mask=batch.mask.long(),
                position_ids=batch.positions,
                use_cache=False,
            ).logits[:, batch.prefix_ids.shape[1] :][batch.answers]
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            return f"cannot be run in parts ({why})"
        spread = float(whole.float().std()) + 1e-6
        error = float((split.float() - whole.float()).abs().max())
        tolerance = 0.2 if whole.dtype in (torch.bfloat16, torch.float16) else 2e-3
        if error <= tolerance * max(spread, 1.0):
            return None
        return (
            f"gives other logits when its blocks are run in parts (largest difference {error:.3g})"
        )


def head_logits(model: PreTrainedModel, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
    """Logits of normed hidden states, by the model's own code around a decoder that only hands them over.

    Rows are passed as a contiguous (n, 1, d): the models' own `logits_to_keep` slices a strided view, on which
    torch copies the whole vocabulary matrix once per batch row.
    """

    def given(*args: object, **kwargs: object) -> BaseModelOutputWithPastAndCrossAttentions:
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=rows[:, None].contiguous()  # type: ignore[arg-type]
        )

    dummy = torch.zeros(rows.shape[0], 1, dtype=torch.long, device=rows.device)
    with _replaced_forward(model.get_decoder(), given):
        return model(input_ids=dummy, use_cache=False).logits[:, 0]


def _trunk_chunks(lengths: Sequence[int]) -> Iterator[slice]:
    """Consecutive rows that take at most TRUNK_TOKENS tokens when padded to the longest of them."""
    low, width = 0, 0
    for row, length in enumerate(lengths):
        wider = max(width, length)
        if row > low and wider * (row + 1 - low) > TRUNK_TOKENS:
            yield slice(low, row)
            low, wider = row, length
        width = wider
    yield slice(low, len(lengths))


def _cells(lengths: Sequence[int], chunk: slice) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Row, and place in that row, of every token of some rows."""
    cells = [(i, j) for i in range(chunk.start, chunk.stop) for j in range(lengths[i])]
    row, column = torch.tensor(cells).T
    return row, column


def _repeat(states: Tensor, rows: int) -> Tensor:
    """One row's keys or values for many rows, without copying."""
    return states.expand(rows, *states.shape[1:])


def _pass_through(hidden: Tensor) -> Tensor:
    return hidden


@contextmanager
def _replaced_forward(module: nn.Module, forward: Callable[..., object]) -> Iterator[None]:
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
