"""The model seen as frozen trunk | top blocks | head, run through its own code.

Nothing below the first edited block ever changes, so its output is computed once and kept.  The parts are run by
calling the model's own forward with some blocks replaced by pass-throughs: masks, rotary tables, embedding scales,
soft caps and head biases all stay the family's own, and nothing of any family is written again here.

How a batch is laid out in columns is `model.batch`'s business: a prefix without gradient, a suffix with, and in front
the tokens that all rows share, which are run once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import DynamicCache, PreTrainedModel

from ultraedit.errors import ModelError
from ultraedit.model.batch import (
    SHARED_LEAST,
    Batch,
    chunks,
    common_start,
    make_batch,
    make_batches,
)
from ultraedit.model.cache import Prefix, PrefixCache, PrefixFinished, Shared, repeat
from ultraedit.model.devices import runs_on
from ultraedit.model.find import Structure
from ultraedit.model.positions import first_position
from ultraedit.model.replace import head_logits, replaced_forwards
from ultraedit.model.runner.listener import Listener

TRUNK_TOKENS = 512
"""Tokens run together through the trunk.  Measured on a 2-core CPU: fewer or more are slower (docs/lab/batching.md)."""

GPU_TRUNK_TOKENS = 4096
"""The same on a GPU, where 512 leave it waiting: a turn of a 7B model on an H200 took 1.7 times as long with them."""

FAILURES = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What a family's own code throws where it is asked for what it cannot do."""


class Stack:
    """Runs the parts of one model.  `first` is the index of the first block that may ever change."""

    def __init__(self, model: PreTrainedModel, structure: Structure, first: int) -> None:
        self.model = model
        self.structure = structure
        self.decoder = structure.decoder
        self.blocks = structure.blocks
        self.first = first
        self.listener = Listener()
        """Told between chunks of the trunk (`Listener.pause`), when no block is replaced."""
        self.cached = True
        """Whether the prefix columns are run apart and handed on as keys and values.  `check` takes it back for
        families with blocks that keep other things: they run all columns together."""
        self.lengths = self._lengths_of_results()
        """Per block how long the tuple is that it returns; None where it returns the hidden states bare."""
        self._shared: Shared | None = None
        window = getattr(self.decoder.config, "sliding_window", None)
        self.share = 0 if first == 0 else int(window or 2**62)
        """Columns up to which leading tokens that a batch's rows have in common are run once.

        Rows of unequal length have a gap behind them, which a sliding window would count.  Where the first block is
        an edited one there is no trunk to spare.
        """

    @property
    def device(self) -> torch.device:
        """Where token ids go and hidden states are handed out: where a model that is spread over devices begins."""
        return runs_on(self.decoder)

    @property
    def together(self) -> int:
        """Tokens that are run through frozen blocks at once."""
        return TRUNK_TOKENS if self.device.type == "cpu" else GPU_TRUNK_TOKENS

    @property
    def cell_bytes(self) -> int:
        """Bytes of one token's trunk activations."""
        return int(self.decoder.config.hidden_size) * self.decoder.dtype.itemsize

    def batch(self, pairs: Sequence[tuple[list[int], list[int]]], rows: Sequence[int]) -> Batch:
        """`make_batch` for this model."""
        return make_batch(pairs, rows, self.device, self.share)

    def batches(
        self, pairs: Sequence[tuple[list[int], list[int]]], size: int, begin: int = 0
    ) -> list[Batch]:
        """`make_batches` for this model."""
        return make_batches(pairs, size, self.device, self.share, begin)

    def above(self, block: int) -> Stack:
        """The same model with the blocks up to this one, and this one too, in its trunk."""
        return Stack(self.model, self.structure, block + 1)

    # -- the three parts -------------------------------------------------------------------------

    def trunk(self, batch: Batch) -> Float[Tensor, "B C *d"]:
        """Input of block `first` for all C = P+T columns (0 where the batch is padded)."""
        return self.trunks([batch])[0]

    @torch.no_grad()
    def trunks(self, batches: Sequence[Batch]) -> list[Float[Tensor, "_ _ *d"]]:
        """`trunk` of each batch.

        Blocks from `first` on are not run.  The rows of all batches are run left-aligned, those of like length
        together, a few hundred tokens at a time: causal attention then needs no mask, and activations of that size
        stay in a processor's cache.
        """
        kept: list[Tensor] = []

        def keep(hidden: Tensor) -> Tensor:
            kept.append(hidden.to(self.device))
            return hidden

        stubs: dict[int, Callable[[Tensor], Tensor]]
        stubs = dict.fromkeys(range(self.first, len(self.blocks)), _pass_through)
        stubs[self.first] = keep
        rows = [(n, i) for n, b in enumerate(batches) for i in range(len(b.lengths))]
        rows.sort(key=lambda at: -batches[at[0]].lengths[at[1]])
        begin = common_start([b.shared for b in batches])
        if len(rows) == 1 or len(begin) < SHARED_LEAST:
            begin = ()
        shared = self._share(begin, stubs, kept)
        ids = torch.cat([b.ids.flatten() for b in batches])
        starts = [0, *accumulate(b.mask.numel() for b in batches)]
        cells = [batches[n].cells(i, len(begin)) + starts[n] for n, i in rows]
        lengths = [len(c) for c in cells]
        flat: Tensor | None = None
        for chunk in chunks(lengths, self.together):
            row, place = _places(lengths[chunk], self.device)
            cell = torch.cat(cells[chunk]).to(self.device)
            packed = ids.new_zeros(len(lengths[chunk]), max(lengths[chunk]))
            packed[row, place] = ids[cell]
            with self._stubbed(stubs):
                self._decode(packed, cache=self._begun(shared, len(packed)))
            hidden = kept.pop()
            if flat is None:  # a token has one vector, or several (hyper-connections)
                flat = hidden.new_zeros(len(ids), *hidden.shape[2:])
            flat[cell] = hidden[row, place]
            del hidden
            self.listener.pause()
        assert flat is not None  # batches have rows
        parts = zip(batches, flat.split([b.mask.numel() for b in batches]), strict=True)
        found = [part.view(*b.mask.shape, *part.shape[1:]) for b, part in parts]
        if shared is not None:
            for out in found:
                out[:, : len(begin)] = shared.hidden
        return found

    @torch.no_grad()
    def prefix(self, batch: Batch, trunk: Float[Tensor, "B C *d"]) -> Prefix:
        """What the answer columns read of the prefix columns in the top blocks, under the weights of now."""
        if not self.cached:
            return {}
        B, P = len(batch.rows), batch.prefix_ids.shape[1]
        L = len(batch.shared) if B > 1 else 0  # one row has nobody to share with
        once = self._prefix(batch, trunk, slice(0, 1), slice(0, L), {}) if L else {}
        each = max(self.together // max(P - L, 1), 1)
        parts: list[Prefix] = []
        for low in range(0, B, each):
            rows = slice(low, min(low + each, B))
            n = rows.stop - low
            states = {i: (repeat(k, n), repeat(v, n)) for i, (k, v) in once.items()}
            parts.append(self._prefix(batch, trunk, rows, slice(L, P), states) if P > L else states)
        return {
            i: (torch.cat([x[i][0] for x in parts]), torch.cat([x[i][1] for x in parts]))
            for i in parts[0]
        }

    def _prefix(
        self,
        batch: Batch,
        trunk: Float[Tensor, "B C *d"],
        rows: slice,
        columns: slice,
        before: Prefix,
    ) -> Prefix:
        """Keys and values of all columns up to the last of `columns`, given those `before` them."""
        cache = PrefixCache(self.decoder.config)
        self._pretend_cached(cache, trunk, columns.start, before)
        cache.end = len(self.blocks) - 1
        with suppress(PrefixFinished):
            self._run_top(
                batch.prefix_ids[rows, columns],
                trunk[rows, columns],
                batch.mask[rows, : columns.stop],
                batch.positions[rows, columns],
                cache,
            )
        return {i: states for i, states in cache.states.items() if i >= self.first}

    def top(
        self, batch: Batch, trunk: Float[Tensor, "B C *d"], prefix: Prefix | None = None
    ) -> Float[Tensor, "B T d_head"]:
        """What the head reads in the answer columns: hidden states after the last block and its norm.

        The prefix columns come without gradient, as given or run here.  The answer columns run with gradient if
        the caller has it enabled.
        """
        P = batch.prefix_ids.shape[1]
        if not self.cached:
            hidden = self._run_top(batch.ids, trunk, batch.mask, batch.positions, None)
            return hidden[:, P:].to(self.device)
        states = self.prefix(batch, trunk) if prefix is None else prefix
        cache = DynamicCache(config=self.decoder.config)
        with torch.no_grad():
            self._pretend_cached(cache, trunk, P, states)
        with _attention_of_few_queries(runs_on(self.blocks[self.first])):
            hidden = self._run_top(
                batch.suffix_ids, trunk[:, P:], batch.mask, batch.positions[:, P:], cache
            )
        return hidden.to(self.device)

    def suffix(self, batch: Batch) -> tuple[int, int]:
        """The first suffix column among those that the top blocks run with gradient, and how many they are."""
        P, T = batch.prefix_ids.shape[1], batch.suffix_ids.shape[1]
        return (0, T) if self.cached else (P, P + T)

    def head(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
        """Logits of hidden states, with the family's own scaling, bias and soft cap."""
        return head_logits(self.model, rows)

    def numbered(self, positions: Int[Tensor, "b c"] | None) -> Int[Tensor, "b c"] | None:
        """Positions counted from 0, as the family numbers them."""
        first = first_position(self.model)
        return positions + first if positions is not None and first else positions

    def forget(self) -> None:
        """Run the shared tokens anew: the model may have been changed."""
        self._shared = None

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
            position_ids=self.numbered(positions),
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state

    def _run_top(
        self,
        ids: Tensor,
        hidden: Tensor,
        mask: Tensor,
        positions: Tensor,
        cache: DynamicCache | None,
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
    ) -> Shared | None:
        """The trunk's states of tokens that all rows begin with.  Kept from batch to batch: the trunk is frozen.

        Those of a longer beginning would do but for their rounding, and a turn's bits must not depend on what ran
        before: a stream resumed after a kill has seen nothing.
        """
        if not ids:
            return None
        shared = self._shared
        if shared is None or shared.ids != ids:
            cache = PrefixCache(self.decoder.config)
            with self._stubbed(stubs):
                self._decode(torch.tensor([ids], device=self.device), cache=cache)
            shared = self._shared = Shared(ids, cache.states, kept.pop())
        return shared

    def _begun(self, shared: Shared | None, rows: int) -> DynamicCache | None:
        """A cache for `rows` rows that has seen the shared tokens."""
        if shared is None:
            return None
        cache = DynamicCache(config=self.decoder.config)
        for index, (keys, values) in shared.states.items():
            cache.update(repeat(keys, rows), repeat(values, rows), index)
        return cache

    @contextmanager
    def _stubbed(self, stubs: dict[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
        def stub(index: int, run: Callable[[Tensor], Tensor]) -> Callable[..., object]:
            def forward(hidden_states: Tensor, *args: object, **kwargs: object) -> object:
                return as_result(run(hidden_states), self.lengths[index])

            return forward

        with replaced_forwards({self.blocks[i]: stub(i, run) for i, run in stubs.items()}):
            yield

    @torch.no_grad()
    def _lengths_of_results(self) -> list[int | None]:
        """Seen by running one token."""
        seen: dict[int, int | None] = {}

        def look(index: int) -> Callable[..., None]:
            def hook(module: object, args: object, out: object) -> None:
                seen[index] = len(out) if isinstance(out, tuple | list) else None

            return hook

        name = type(self.model).__name__
        handles = [b.register_forward_hook(look(i)) for i, b in enumerate(self.blocks)]
        try:
            token = torch.zeros(1, 1, dtype=torch.long, device=self.device)
            self._decode(token)
        except FAILURES as error:
            # a ValueError is what its authors have to say
            why = f": {str(error).strip().splitlines()[0]}" if isinstance(error, ValueError) else ""
            raise ModelError(
                f"{name} does not run on a token of text and nothing else, so it cannot be edited{why.rstrip('.')}."
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        if self.first not in seen:
            raise ModelError(
                f"{name} does not run block {self.first} on text alone, so that cannot be edited; name modules of "
                "other blocks."
            )
        return [seen.get(i) for i in range(len(self.blocks))]  # what is not run now never is


def as_result(hidden: Tensor, length: int | None) -> object:
    """Hidden states as a block returns them: bare, or first in a tuple of `length`."""
    return hidden if length is None else (hidden, *[None] * (length - 1))


def _places(
    lengths: Sequence[int], device: torch.device
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Row, and place in that row, of every token of rows with these lengths."""
    row = torch.repeat_interleave(
        torch.arange(len(lengths)), torch.tensor(lengths), output_size=sum(lengths)
    )
    place = torch.cat([torch.arange(length) for length in lengths])
    return row.to(device), place.to(device)


def _attention_of_few_queries(device: torch.device) -> AbstractContextManager[object]:
    """torch's fused attention for CPUs is 2 to 7 times slower than its plain one where few tokens ask and a gradient
    is wanted."""
    if device.type == "cpu" and torch.is_grad_enabled():
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def _pass_through(hidden: Tensor) -> Tensor:
    return hidden
