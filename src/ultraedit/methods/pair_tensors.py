"""Token ids of prompts and of what follows them, as named tensors for safetensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ultraedit.methods.base import Ids


def pair_tensors(name: str, pairs: Iterable[Ids]) -> dict[str, Tensor]:
    """`pairs_from_tensors` is the inverse."""
    kept = list(pairs)
    lengths = [[len(prompt), len(answer)] for prompt, answer in kept]
    ids = [i for prompt, answer in kept for i in (*prompt, *answer)]
    return {
        f"{name}.lengths": torch.tensor(lengths, dtype=torch.int64).reshape(-1, 2),
        f"{name}.ids": torch.tensor(ids, dtype=torch.int64),
    }


def pairs_from_tensors(name: str, tensors: Mapping[str, Tensor]) -> list[Ids]:
    """Raises KeyError where a tensor is missing."""
    pairs: list[Ids] = []
    ids, at = tensors[f"{name}.ids"].tolist(), 0
    for prompt, answer in tensors[f"{name}.lengths"].tolist():
        middle, end = at + prompt, at + prompt + answer
        pairs.append((ids[at:middle], ids[middle:end]))
        at = end
    return pairs
