"""Fingerprints of tensors that are cheap enough for a whole model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

PIECE = 1 << 22
"""Numbers digested at a time: their 8-byte scratch is 32 MB."""


@torch.no_grad()
def bit_sums(tensor: Tensor) -> bytes:
    """Sums of the tensor's bits as whole numbers, along its rows and its columns: any changed bit changes them.

    They are exact in every order of adding, so they can be made where the tensor lies, at the speed of its memory.
    """
    if not tensor.numel():
        return b""
    flat = tensor.detach().contiguous().view(-1, tensor.shape[-1] if tensor.dim() else 1)
    # as whole numbers of 8 bytes, whose overflow loses nothing; narrower ones are widened first
    exact = flat.shape[1] * flat.itemsize % 8 == 0
    bits = flat.view(torch.int64 if exact else torch.uint8)
    step = max(1, PIECE // bits.shape[1])
    across: list[Tensor] = []
    down = torch.zeros(bits.shape[1], dtype=torch.int64, device=bits.device)
    for low in range(0, bits.shape[0], step):
        wide = bits[low : low + step].to(torch.int64)
        across.append(wide.sum(1))
        down += wide.sum(0)
    return torch.cat([*across, down]).cpu().numpy().tobytes()


def fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Of named tensors: 64 hex digits over their names, dtypes, shapes and `bit_sums`."""
    found = hashlib.sha256()
    for name, tensor in tensors:
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(bit_sums(tensor))
    return found.hexdigest()
