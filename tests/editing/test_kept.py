"""Calibrations kept on disk: the same to the bit, only for the same inputs, and never half a file."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

import tiny
from ultraedit.core.preserve import DenseMetric, SketchMetric
from ultraedit.editing import calibrate as module
from ultraedit.editing.editor import Editor
from ultraedit.editing.kept import KEPT, digest, read, write
from ultraedit.methods.base import Calibration

CPU = torch.device("cpu")


def made() -> Calibration:
    return Calibration(
        (1.25, 2.5), (DenseMetric(torch.randn(4, 4)), SketchMetric(torch.randn(2, 9), 1024))
    )


def test_it_comes_back_to_the_bit(tmp_path: Path) -> None:
    kept = made()
    file = tmp_path / "a" / "b.safetensors"
    write(file, kept)
    found = read(file, CPU)
    assert found is not None
    assert found.output_norms == kept.output_norms
    dense, sketch = found.metrics
    assert isinstance(dense, DenseMetric)
    assert isinstance(sketch, SketchMetric)
    assert dense.matrix.equal(kept.metrics[0].matrix)  # type: ignore[union-attr]
    assert sketch.rows.equal(kept.metrics[1].rows)  # type: ignore[union-attr]
    assert [f.name for f in file.parent.iterdir()] == ["b.safetensors"]


def test_a_missing_or_damaged_file_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "none.safetensors", CPU) is None
    file = tmp_path / "cut.safetensors"
    write(file, made())
    file.write_bytes(file.read_bytes()[:-7])
    assert read(file, CPU) is None


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for i in range(KEPT + 3):
        write(tmp_path / f"{i:02}.safetensors", made())
    assert len(list(tmp_path.iterdir())) == KEPT


def test_any_change_of_the_model_tokens_or_settings_changes_the_name() -> None:
    some = Editor(tiny.llama(), tiny.tokenizer(), text=tiny.TEXT)
    base = digest(some.model, some.weights, [[1, 2]], (1.0,))
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) == base
    assert digest(some.model, some.weights, [[1, 3]], (1.0,)) != base
    assert digest(some.model, some.weights, [[1, 2]], (2.0,)) != base
    assert digest(some.model, some.weights[:0], [[1, 2]], (1.0,)) != base
    next(some.model.parameters()).data.flatten()[5] += 1e-3
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) != base


def test_a_slow_measurement_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAEDIT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "WORTH_KEEPING", 0.0)
    first = Editor(tiny.llama(), tiny.tokenizer(), text=tiny.TEXT)
    monkeypatch.setattr(module, "measure", None)  # a second measurement would fail
    again = Editor(tiny.llama(), tiny.tokenizer(), text=tiny.TEXT)
    assert again.engine.calibration.output_norms == first.engine.calibration.output_norms
    assert len(list((tmp_path / "calibration").iterdir())) == 1


def test_another_version_of_the_measuring_code_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = Editor(tiny.llama(), tiny.tokenizer(), text=tiny.TEXT)
    base = digest(some.model, some.weights, [[1, 2]], (1.0,))
    source = inspect.getsource
    monkeypatch.setattr(
        inspect, "getsource", lambda m: source(m).replace("weight: float", "weight: int")
    )
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) != base
