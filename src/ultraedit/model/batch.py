"""How prompts and answers are laid out in columns for a model that is run in parts.

All rows end in the same column.  The last columns, as many as the longest answer has tokens, are the suffix; what
lies before is the prefix.  Nothing in the prefix needs a gradient, because every answer token stands in the suffix,
so only the suffix is ever differentiated.  A row with a short answer has the end of its prompt in the suffix.

Tokens that all rows begin with (the head of a chat template and its system prompt) stand in the first columns and
are run once for the batch.  What a shorter row lacks is left empty behind them:

    shared shared ....... rest rest | answer answer
    shared shared rest rest rest rest | ...... answer

A wide batch has all tokens but the first few in the suffix: prompts can then be edited too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SHARED_LEAST = 8
"""Fewer common tokens are run row by row: attending to a cache costs a mask."""

PREFIX_SHARE = 0.3
"""Cost of a prefix cell in suffix cells, over a turn of six steps: forward only, and in some steps only."""

BATCH_COST = 60.0
"""Cost of one more micro-batch in suffix cells (docs/lab/batching.md)."""


Cells = tuple[Int[Tensor, " n"], Int[Tensor, " n"]]


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
    answers: tuple[Int[Tensor, " a"], Int[Tensor, " a"]]
    """Row and suffix column of every answer token, edit by edit: an index, so that no shape hangs on data."""
    edited: Cells
    """The same of every token whose keys and gradients are taken: the answers' first, then those of prompts."""
    open: tuple[int, ...]
    """How many of each row's prompt tokens are among them."""
    shared: tuple[int, ...]
    """The tokens in the first columns, where they are the same in every row and worth running once; often none."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def ids(self) -> Int[Tensor, "B C"]:
        """The C = P+T columns."""
        return torch.cat([self.prefix_ids, self.suffix_ids], 1)

    def only(self, rows: Int[Tensor, " b"]) -> Batch:
        """Some of the rows, in the same columns."""
        new = torch.full((len(self.lengths),), -1, device=self.mask.device)
        new[rows] = torch.arange(len(rows), device=new.device)

        def those(row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
            stays = new[row] >= 0
            return new[row[stays]], column[stays]

        return Batch(
            self.rows[rows.to(self.rows.device)],
            self.prefix_ids[rows],
            self.suffix_ids[rows],
            self.labels[rows],
            self.mask[rows],
            self.positions[rows],
            lengths=tuple(self.lengths[i] for i in rows.tolist()),
            answers=those(*self.answers),
            edited=those(*self.edited),
            open=tuple(self.open[i] for i in rows.tolist()),
            shared=self.shared,
        )

    def cells(self, row: int, skip: int = 0) -> Int[Tensor, " n"]:
        """Where a row's tokens from the `skip`-th on stand in the flattened layout."""
        width, length = self.mask.shape[1], self.lengths[row]
        places = torch.arange(skip, length)
        columns = torch.where(places < len(self.shared), places, places + width - length)
        return columns + row * width


def make_batch(
    pairs: Sequence[tuple[list[int], list[int]]],
    rows: Sequence[int],
    device: torch.device | str = "cpu",
    share: int = 0,
    begin: int = 0,
) -> Batch:
    """Lay out (prompt ids, answer ids) pairs.  Prompts and answers hold at least one token each.

    Common first tokens are put in front if the batch is then at most `share` columns wide.  With `begin` the batch is
    wide: all tokens from that one on can be edited.
    """
    B = len(pairs)
    longest = max(_length(pair) for pair in pairs)
    T = max(len(t) for _, t in pairs)
    if begin:
        T = max(T, longest - begin)
    P = max(longest - T, 1)
    L = _shared(pairs, T, begin) if share >= P + T else 0
    ids = torch.zeros(B, P + T, dtype=torch.long)
    mask = torch.zeros(B, P + T, dtype=torch.bool)
    labels = torch.zeros(B, T, dtype=torch.long)
    for i, (prompt, target) in enumerate(pairs):
        row = torch.tensor([*prompt, *target[:-1]])
        for columns, part in (
            (slice(0, L), row[:L]),
            (slice(P + T - len(row) + L, P + T), row[L:]),
        ):
            ids[i, columns] = part
            mask[i, columns] = True
        labels[i, T - len(target) :] = torch.tensor(target)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    cells = [(i, T - len(t) + j) for i, (_, t) in enumerate(pairs) for j in range(len(t))]
    n = len(cells)
    # a prompt's last token predicts the answer's first one and is among the answers already
    opened = [range(begin, max(len(p) - 1, begin)) if begin else range(0) for p, _ in pairs]
    cells += [(i, T - _length(pairs[i]) + j) for i, places in enumerate(opened) for j in places]
    row, column = torch.tensor(cells).T.contiguous().to(device)
    return Batch(
        torch.tensor(rows),
        *(x.to(device) for x in (ids[:, :P], ids[:, P:], labels, mask, positions)),
        lengths=tuple(_length(pair) for pair in pairs),
        answers=(row[:n], column[:n]),
        edited=(row, column),
        open=tuple(map(len, opened)),
        shared=tuple(pairs[0][0][:L]),
    )


def make_batches(
    pairs: Sequence[tuple[list[int], list[int]]],
    size: int,
    device: torch.device | str = "cpu",
    share: int = 0,
    begin: int = 0,
) -> list[Batch]:
    """Micro-batches of at most `size` rows, longest suffixes first, cut where that costs least."""
    suffix = [max(len(p[1]), _length(p) - begin) if begin else len(p[1]) for p in pairs]
    order = sorted(range(len(pairs)), key=lambda i: (-suffix[i], -_length(pairs[i]), i))
    lengths = [(suffix[i], _length(pairs[i])) for i in order]
    chunks = [order[low:high] for low, high in cuts(lengths, size)]
    return [make_batch([pairs[i] for i in chunk], chunk, device, share, begin) for chunk in chunks]


def cuts(lengths: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Where to cut rows of (answer tokens, all tokens) into runs of at most `size`: the cheapest of all ways.

    A batch costs its suffix cells, a share of its prefix cells, and a constant, because few rows are multiplied at
    half the rate of many.
    """
    best = [(0.0, 0)]
    for high in range(1, len(lengths) + 1):
        suffix = width = 0
        options: list[tuple[float, int]] = []
        for low in range(high - 1, max(high - size, 0) - 1, -1):
            suffix, width = max(suffix, lengths[low][0]), max(width, lengths[low][1])
            cells = suffix + PREFIX_SHARE * max(width - suffix, 1)
            options.append((best[low][0] + (high - low) * cells + BATCH_COST, low))
        best.append(min(options))
    found: list[tuple[int, int]] = []
    high = len(lengths)
    while high:
        low = best[high][1]
        found.append((low, high))
        high = low
    return found[::-1]


def _shared(pairs: Sequence[tuple[list[int], list[int]]], suffix: int, begin: int) -> int:
    """How many leading tokens to run once.  They lie in the prefix of every row; a wide batch has no other prefix."""
    common = len(common_start([p for p, _ in pairs]))
    if begin:
        common = begin if common >= begin and min(len(p) for p, _ in pairs) > begin else 0
    else:
        common = min(common, min(_length(pair) for pair in pairs) - suffix)
    return common if common >= SHARED_LEAST else 0


def common_start(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The tokens that all rows begin with."""
    ordered = sorted(map(tuple, rows))
    first, last = ordered[0], ordered[-1]  # of all rows these differ soonest
    same = next((j for j, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first if same is None else first[:same]


def _length(pair: tuple[list[int], list[int]]) -> int:
    """Tokens that are run: the answer's last one is only predicted."""
    return len(pair[0]) + len(pair[1]) - 1


def chunks(lengths: Sequence[int], most: int) -> Iterator[slice]:
    """Consecutive rows that take at most `most` tokens when padded to the longest of them."""
    low, width = 0, 0
    for row, length in enumerate(lengths):
        wider = max(width, length)
        if row > low and wider * (row + 1 - low) > most:
            yield slice(low, row)
            low, wider = row, length
        width = wider
    yield slice(low, len(lengths))
