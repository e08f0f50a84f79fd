"""The choice of a dtype by measurement, on made-up clocks: no test here depends on this machine's speed."""

from __future__ import annotations

import pytest
import torch

import tiny
from ultraedit.model import dtype as dtypes
from ultraedit.model import load


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds a row of each dtype; the tests fill it in."""
    table: dict[torch.dtype, float] = {}

    def timed(dtype: torch.dtype, device: str, rows: int, repeats: int) -> float:
        return table[dtype] * rows

    monkeypatch.setattr(dtypes, "_best_time", timed)
    return table


@pytest.mark.parametrize(
    ("bf16", "wanted", "slow"),
    [
        (0.25, torch.bfloat16, False),
        (3.0, torch.float32, False),
        (60.0, torch.float32, True),
    ],
)
def test_the_quicker_dtype_is_chosen(speeds, bf16: float, wanted: torch.dtype, slow: bool) -> None:
    speeds.update({torch.float32: 1.0, torch.bfloat16: bf16})
    assert dtypes.fastest_dtype() == wanted
    assert dtypes.slow_here(torch.bfloat16) is slow
    assert not dtypes.slow_here(torch.float32)


def test_a_hopeless_dtype_is_not_multiplied_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[torch.dtype, int]] = []

    def timed(dtype: torch.dtype, device: str, rows: int, repeats: int) -> float:
        asked.append((dtype, rows))
        return rows * (60.0 if dtype == torch.bfloat16 else 1.0)

    monkeypatch.setattr(dtypes, "_best_time", timed)
    assert dtypes.fastest_dtype() == torch.float32
    assert (torch.bfloat16, dtypes.ROWS) not in asked
    assert (torch.bfloat16, dtypes.PROBE_ROWS) in asked


def test_a_checkpoint_in_a_hopeless_dtype_loads_with_a_warning(
    speeds, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    speeds.update({torch.float32: 1.0, torch.bfloat16: 60.0})
    monkeypatch.setattr(load, "SMALL", 0)
    tiny.family("llama", torch.bfloat16).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.warns(
        UserWarning, match=r"is in bfloat16, which this processor .* --dtype fastest"
    ):
        model, _ = load.load(tmp_path)
    assert model.dtype == torch.bfloat16
    load.load(tmp_path, dtype="float32")  # asked for: nothing to warn of, and warnings are errors


@pytest.mark.parametrize("quick", dtypes.CANDIDATES)
def test_fastest_is_loaded(quick: torch.dtype, speeds, tmp_path) -> None:
    speeds.update({dtype: 1.0 if dtype == quick else 2.0 for dtype in dtypes.CANDIDATES})
    tiny.llama().save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert load.load(tmp_path, dtype="fastest")[0].dtype == quick


def test_it_measures() -> None:
    assert dtypes.fastest_dtype(repeats=1) in dtypes.CANDIDATES
    assert dtypes._best_time(torch.float32, "cpu", 16, 1) > 0
