"""How prompts and answers are laid out in columns for a model that is run in parts.

All rows end in the same column.  The last columns, as many as the longest answer has tokens, are the suffix; what
lies before is the prefix.  Nothing in the prefix needs a gradient, because every answer token stands in the suffix,
so only the suffix is ever differentiated.  A row with a short answer has the end of its prompt in the suffix.

Tokens that all rows begin with (the head of a chat template and its system prompt) stand in the first columns and
are run once for the batch.  What a shorter row lacks is left empty behind them:

    shared shared ....... rest rest | answer answer
    shared shared rest rest rest rest | ...... answer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SHARED_LEAST = 8
"""Fewer common tokens are run row by row: attending to a cache costs a mask."""


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
    shared: tuple[int, ...]
    """The tokens in the first columns, where they are the same in every row and worth running once; often none."""

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def columns(self, rows: Int[Tensor, " n"], places: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The column in which the j-th token of a row stands, for pairs of row and j."""
        width = self.mask.shape[1]
        lengths = torch.tensor(self.lengths, device=rows.device)
        return torch.where(places < len(self.shared), places, places + width - lengths[rows])


def make_batch(
    pairs: Sequence[tuple[list[int], list[int]]],
    rows: Sequence[int],
    device: torch.device | str = "cpu",
    share: int = 0,
) -> Batch:
    """Lay out (prompt ids, answer ids) pairs.  Prompts and answers hold at least one token each.

    Common first tokens are put in front if the batch is then at most `share` columns wide.
    """
    B = len(pairs)
    T = max(len(t) for _, t in pairs)
    P = max(max(_length(pair) for pair in pairs) - T, 1)
    L = _shared(pairs, T) if share >= P + T else 0
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
    row, column = torch.tensor(cells).T.contiguous().to(device)
    return Batch(
        torch.tensor(rows),
        *(x.to(device) for x in (ids[:, :P], ids[:, P:], labels, mask, positions)),
        lengths=tuple(_length(pair) for pair in pairs),
        answers=(row, column),
        shared=tuple(pairs[0][0][:L]),
    )


def make_batches(
    pairs: Sequence[tuple[list[int], list[int]]],
    size: int,
    device: torch.device | str = "cpu",
    share: int = 0,
) -> list[Batch]:
    """Micro-batches of at most `size` rows whose answers have one length, longest first.

    With one length the suffix holds the answer columns and nothing else, so what is run again in every step of a
    turn, and what is not, does not depend on the batch an edit is in.
    """
    order = sorted(range(len(pairs)), key=lambda i: (-len(pairs[i][1]), -_length(pairs[i]), i))
    groups = groupby(order, key=lambda i: len(pairs[i][1]))
    chunks = [g[k : k + size] for g in (list(g) for _, g in groups) for k in range(0, len(g), size)]
    return [make_batch([pairs[i] for i in chunk], chunk, device, share) for chunk in chunks]


def _shared(pairs: Sequence[tuple[list[int], list[int]]], suffix: int) -> int:
    """How many leading tokens to run once.  They lie in the prefix of every row."""
    if len(pairs) < 2:
        return 0
    first, last = min(p for p, _ in pairs), max(p for p, _ in pairs)  # differ first, of all pairs
    most = min(len(first), len(last), min(_length(pair) for pair in pairs) - suffix)
    common = next((j for j in range(most) if first[j] != last[j]), most)
    return common if common >= SHARED_LEAST else 0


def _length(pair: tuple[list[int], list[int]]) -> int:
    """Tokens that are run: the answer's last one is only predicted."""
    return len(pair[0]) + len(pair[1]) - 1
