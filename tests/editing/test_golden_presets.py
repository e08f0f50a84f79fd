"""Each preset writes the weights it always wrote."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parents[1] / "golden" / "presets"
_spec = importlib.util.spec_from_file_location("golden_presets", FOLDER / "made.py")
assert _spec is not None and _spec.loader is not None
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

TOLERANCE = 1e-3
"""Share of a tensor's size.  Processors order their sums differently, and six steps amplify it."""


@pytest.mark.parametrize("name", made.CASES)
def test_preset_writes_what_it_always_wrote(name: str) -> None:
    expected = load_file(FOLDER / f"{name}.safetensors")
    found = made.run(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.linalg.vector_norm(value) > 0
        error = torch.linalg.vector_norm(found[key] - value) / torch.linalg.vector_norm(value)
        assert error < TOLERANCE, f"{key} is off by {error:.2g} of its size"
