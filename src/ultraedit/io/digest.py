"""Names contents: sha256 of files, texts and tensors, and fingerprints of tensors that cost a whole model little."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 1024
"""Rows copied to the CPU at a time."""
PIECE = 1 << 22
"""Numbers digested at a time: their 8-byte scratch is 32 MB."""


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, as 64 hex digits.  Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """sha256 of a text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def tensor_digest(tensor: Tensor, heading: str) -> str:
    """sha256 over a heading and the values' bytes, row by row, little-endian, as 64 hex digits.

    Args:
        tensor: Any shape, on any device; at most `ROWS` rows of it are copied to the CPU at once.
        heading: What the file's format puts before the bytes to tell dtypes and shapes apart.
    """
    import torch

    found = hashlib.sha256(heading.encode())
    value = tensor.detach()
    rows = value if value.dim() else value.reshape(1)
    for low in range(0, len(rows), ROWS):
        part = rows[low : low + ROWS].cpu().contiguous()
        found.update(part.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def dtype_name(tensor: Tensor) -> str:
    """`float32`, `bfloat16`, `float16`."""
    return str(tensor.dtype).removeprefix("torch.")


def bit_sums(tensor: Tensor) -> bytes:
    """Sums of the tensor's bits as whole numbers, along its rows and its columns: any changed bit changes them.

    They are exact in every order of adding, so they can be made where the tensor lies, at the speed of its memory.
    """
    import torch

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
