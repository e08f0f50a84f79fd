"""Digests are those that earlier files hold, however a tensor lies in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from ultraedit.export.delta import weight_digest
from ultraedit.io import digest
from ultraedit.workspace import tensors

CASES = {
    "matrix": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "transposed": torch.arange(12, dtype=torch.float32).reshape(4, 3).T,
    "bfloat16": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
    "vector": torch.arange(5, dtype=torch.int64),
    "scalar": torch.tensor(2.5),
    "empty": torch.empty(0, 3),
}


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rows", [1, 2, 1024])
def test_a_tensor_is_digested_as_its_whole_bytes(
    monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    monkeypatch.setattr(digest, "ROWS", rows)
    tensor = CASES[name]
    expected = hashlib.sha256(b"heading" + _bytes(tensor)).hexdigest()
    assert digest.tensor_digest(tensor, "heading") == expected


def test_each_format_keeps_its_heading() -> None:
    """Workspaces and deltas that were written before are still told by these."""
    tensor = CASES["matrix"]
    as_state = hashlib.sha256(b"torch.float32 (3, 4) " + _bytes(tensor)).hexdigest()
    as_weight = hashlib.sha256(b"float32 [3, 4]\n" + _bytes(tensor)).hexdigest()
    assert tensors.digest(tensor) == as_state
    assert weight_digest(tensor) == as_weight
    together = hashlib.sha256(f"a {as_state}\nb {as_state}\n".encode()).hexdigest()
    assert tensors.digest_all({"b": tensor, "a": tensor}) == together


def test_a_file_and_a_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("é".encode())
    expected = hashlib.sha256("é".encode()).hexdigest()
    assert digest.sha256_file(tmp_path / "file") == expected
    assert digest.sha256_text("é") == expected
