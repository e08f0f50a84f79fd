"""The model seen as frozen trunk | top blocks | head, run through its own code.

Nothing below the first edited block ever changes, so its output is computed once and kept.  The parts are run by
calling the model's own forward with some blocks replaced by pass-throughs: masks, rotary tables, embedding scales,
soft caps and head biases all stay the family's own, and nothing of any family is written again here.

A batch is laid out so that all its rows end in the same column.  The last columns, as many as its longest answer
has tokens, are the suffix; what lies before is the prefix.  Nothing in the prefix needs a gradient, because every
answer token stands in the suffix, so only the suffix is ever differentiated.  Nothing else is padded: a row with a
short answer has the end of its prompt in the suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from ultraedit.errors import ModelError
from ultraedit.model.find import Structure

TRUNK_TOKENS = 512
"""Tokens run together through the trunk.  Measured on a 2-core CPU: fewer or more are slower (docs/lab-notes.md)."""


@dataclass(frozen=True)
class Batch:
    """Some prompts and answers in the split layout.  B rows; P prefix columns; T suffix columns."""

    rows: Int[Tensor, " B"]
    """Which pair of the caller's list each row is."""
    prefix_ids: Int[Tensor, "B P"]
    suffix_ids: Int[Tensor, "B T"]
    """The last T tokens of prompt and answer, the answer's last token left out."""
    labels: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B P+T"]
    positions: Int[Tensor, "B P+T"]

    lengths: tuple[int, ...]
    """Tokens of each row, padding left out."""
    answers: tuple[Int[Tensor, " n"], Int[Tensor, " n"]]
    """Row and suffix column of every answer token, edit by edit: an index, so that no shape hangs on data."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)


def make_batch(
    pairs: Sequence[tuple[list[int], list[int]]],
    rows: Sequence[int],
    device: torch.device | str = "cpu",
) -> Batch:
    """Lay out (prompt ids, answer ids) pairs.  Prompts and answers hold at least one token each."""
    B = len(pairs)
    T = max(len(t) for _, t in pairs)
    P = max(max(_length(pair) for pair in pairs) - T, 1)
    ids = torch.zeros(B, P + T, dtype=torch.long)
    mask = torch.zeros(B, P + T, dtype=torch.bool)
    labels = torch.zeros(B, T, dtype=torch.long)
    for i, (prompt, target) in enumerate(pairs):
        start = P + T - _length((prompt, target))
        ids[i, start:] = torch.tensor([*prompt, *target[:-1]])
        mask[i, start:] = True
        labels[i, T - len(target) :] = torch.tensor(target)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    cells = [(i, T - len(t) + j) for i, (_, t) in enumerate(pairs) for j in range(len(t))]
    row, column = torch.tensor(cells).T.contiguous().to(device)
    return Batch(
        torch.tensor(rows),
        *(x.to(device) for x in (ids[:, :P], ids[:, P:], labels, mask, positions)),
        lengths=tuple(_length(pair) for pair in pairs),
        answers=(row, column),
    )


def make_batches(
    pairs: Sequence[tuple[list[int], list[int]]], size: int, device: torch.device | str = "cpu"
) -> list[Batch]:
    """Micro-batches of at most `size` rows whose answers have one length, longest first.

    With one length the suffix holds the answer columns and nothing else, so what is run again in every step of a
    turn, and what is not, does not depend on the batch an edit is in.
    """
    order = sorted(range(len(pairs)), key=lambda i: (-len(pairs[i][1]), -_length(pairs[i]), i))
    groups = groupby(order, key=lambda i: len(pairs[i][1]))
    chunks = [g[k : k + size] for g in (list(g) for _, g in groups) for k in range(0, len(g), size)]
    return [make_batch([pairs[i] for i in chunk], chunk, device) for chunk in chunks]


def _length(pair: tuple[list[int], list[int]]) -> int:
    """Tokens that are run: the answer's last one is only predicted."""
    return len(pair[0]) + len(pair[1]) - 1


Prefix = dict[int, tuple[Tensor, Tensor]]
"""Keys and values of a batch's prefix columns in each block from the first edited one on."""


class _PrefixFinished(Exception):  # noqa: N818 - not an error
    """Thrown out of the model's own forward once the prefix has left all it has to leave."""


class _PrefixCache(DynamicCache):
    """Writes keys and values down, once, and stops the run at the last block's: its output is used by nothing.

    Nothing came before the prefix, so what a block hands over is all that it reads.
    """

    def __init__(self, config: PreTrainedConfig, last: int) -> None:
        super().__init__(config=config)
        self.last = last
        self.states: Prefix = {}

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor]:
        self.states[layer_idx] = (key_states, value_states)
        if layer_idx == self.last:
            raise _PrefixFinished
        return key_states, value_states


class Stack:
    """Runs the parts of one model.  `first` is the index of the first block that may ever change."""

    def __init__(self, model: PreTrainedModel, structure: Structure, first: int) -> None:
        self.model = model
        self.decoder = structure.decoder
        self.blocks = structure.blocks
        self.first = first
        self._tuples = self._blocks_return_tuples()

    @property
    def device(self) -> torch.device:
        return next(self.decoder.parameters()).device

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
        lengths = torch.tensor(batch.lengths, device=ids.device)
        found: Tensor | None = None
        with self._stubbed(stubs):
            for chunk in _trunk_chunks(batch.lengths):
                row, column = (c.to(ids.device) for c in _cells(batch.lengths, chunk))
                width = max(batch.lengths[chunk])
                packed = ids.new_zeros(chunk.stop - chunk.start, width)
                here, shift = row - chunk.start, ids.shape[1] - lengths[row]
                packed[here, column] = ids[row, column + shift]
                self._decode(packed)
                hidden = kept.pop()
                if found is None:
                    found = hidden.new_zeros(*ids.shape, hidden.shape[-1])
                found[row, column + shift] = hidden[here, column]
        assert found is not None  # a batch has rows
        return found

    @torch.no_grad()
    def prefix(self, batch: Batch, trunk: Float[Tensor, "B C d"]) -> Prefix:
        """What the answer columns read of the prefix columns in the top blocks, under the weights of now."""
        P = batch.prefix_ids.shape[1]
        cache = _PrefixCache(self.decoder.config, len(self.blocks) - 1)
        with suppress(_PrefixFinished):
            self._run_top(
                batch.prefix_ids, trunk[:, :P], batch.mask[:, :P], batch.positions[:, :P], cache
            )
        return cache.states

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
            self._pretend_cached(cache, trunk, P)
            for index, (keys, values) in states.items():
                cache.update(keys, values, index)
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

    def _pretend_cached(self, cache: DynamicCache, like: Tensor, length: int) -> None:
        """Give the blocks that were skipped an empty-valued cache of the right length.

        Masks are sized by the first cache layer of each kind, which lies in the trunk.
        """
        blank = torch.zeros(1, 1, length, 1, dtype=like.dtype, device=like.device)
        for index in range(self.first):
            cache.update(blank, blank, index)

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
        draw = torch.randint(0, vocab, (10,), generator=generator).tolist()
        pairs = [(draw[:5], draw[5:7]), (draw[7:9], draw[9:])]
        batch = make_batch(pairs, [0, 1], self.device)
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
            raise ModelError(
                f"{type(self.model).__name__} cannot be run in parts ({why}), so it cannot be edited by this version."
            ) from error
        spread = float(whole.float().std()) + 1e-6
        error = float((split.float() - whole.float()).abs().max())
        tolerance = 0.2 if whole.dtype in (torch.bfloat16, torch.float16) else 2e-3
        if not error <= tolerance * max(spread, 1.0):
            raise ModelError(
                f"{type(self.model).__name__} gives other logits when its blocks are run in parts "
                f"(largest difference {error:.3g}), so it cannot be edited by this version."
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


def _pass_through(hidden: Tensor) -> Tensor:
    return hidden


@contextmanager
def _replaced_forward(module: nn.Module, forward: Callable[..., object]) -> Iterator[None]:
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
