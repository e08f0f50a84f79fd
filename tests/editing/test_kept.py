"""Calibrations kept on disk: the same to the bit, only for the same inputs, and never half a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save

import tiny
from ultraedit.core.metric import DenseMetric, SketchMetric
from ultraedit.editing.editor import Editor
from ultraedit.io import digest as digests
from ultraedit.methods import calibration as module
from ultraedit.methods import calibration_cache as kept
from ultraedit.methods.base import Calibration
from ultraedit.methods.calibration_cache import KEPT, digest, read, write
from ultraedit.settings import EditSettings

CPU = torch.device("cpu")


NORMS = [0.850390748]
TRACES = [2407.5476]


def made() -> Calibration:
    return Calibration(
        (1.25, 2.5), (DenseMetric(torch.randn(4, 4)), SketchMetric(torch.randn(2, 9), 1024))
    )


def shaped() -> Any:
    """Stand-ins for weights that take inputs of 4 and 9 numbers."""
    return [SimpleNamespace(projection=SimpleNamespace(d_in=n)) for n in (4, 9)]


def test_it_comes_back_to_the_bit(tmp_path: Path) -> None:
    wanted = made()
    file = tmp_path / "a" / "b.safetensors"
    write(file, wanted)
    found = read(file, shaped(), CPU)
    assert found is not None
    assert found.output_norms == wanted.output_norms
    dense, sketch = found.metrics
    assert isinstance(dense, DenseMetric)
    assert isinstance(sketch, SketchMetric)
    assert dense.matrix.equal(wanted.metrics[0].matrix)  # type: ignore[union-attr]
    assert sketch.rows.equal(wanted.metrics[1].rows)  # type: ignore[union-attr]
    assert [f.name for f in file.parent.iterdir()] == ["b.safetensors"]


def test_a_missing_or_damaged_file_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "none.safetensors", shaped(), CPU) is None
    file = tmp_path / "cut.safetensors"
    write(file, made())
    file.write_bytes(file.read_bytes()[:-7])
    assert read(file, shaped(), CPU) is None


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for i in range(KEPT + 3):
        write(tmp_path / f"{i:02}.safetensors", made())
    assert len(list(tmp_path.iterdir())) == KEPT


def test_any_change_of_the_model_tokens_or_settings_changes_the_name() -> None:
    some = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    base = digest(some.model, some.weights, [[1, 2]], (1.0,))
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) == base
    assert digest(some.model, some.weights, [[1, 3]], (1.0,)) != base
    assert digest(some.model, some.weights, [[1, 2]], (2.0,)) != base
    assert digest(some.model, some.weights[:0], [[1, 2]], (1.0,)) != base
    next(some.model.parameters()).data.flatten()[5] += 1e-3
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) != base


def test_a_slow_measurement_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ULTRAEDIT_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "WORTH_LOOKING", 0)
    monkeypatch.setattr(module, "WORTH_KEEPING", 0.0)
    first = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    monkeypatch.setattr(module, "measure", None)  # a second measurement would fail
    again = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    assert again.engine.calibration.output_norms == first.engine.calibration.output_norms
    assert len(list((tmp_path / "calibration").iterdir())) == 1


def test_another_version_of_the_measuring_code_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    base = digest(some.model, some.weights, [[1, 2]], (1.0,))
    monkeypatch.setattr(kept, "FORMAT", kept.FORMAT + 1)
    assert digest(some.model, some.weights, [[1, 2]], (1.0,)) != base


def test_what_is_measured_is_what_this_format_keeps() -> None:
    """Where these numbers change, FORMAT goes up by one and they are written down anew."""
    assert kept.FORMAT == 2
    found = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT)).engine.calibration
    assert found.output_norms == pytest.approx(NORMS, rel=1e-4)
    traces = [float(m.matrix.trace()) for m in found.metrics if isinstance(m, DenseMetric)]
    assert traces == pytest.approx(TRACES, rel=1e-4)


def test_any_bit_of_any_tensor_and_any_setting_of_the_model_changes_the_name() -> None:
    model = tiny.llama(torch.bfloat16)

    def name() -> str:
        return digest(model, [], [[1, 2]], ())

    seen = {name()}
    for parameter in model.parameters():
        raw = parameter.data.view(torch.int16).flatten()
        raw[len(raw) // 2] ^= 1
        seen.add(name())
    embedding = model.get_input_embeddings().weight.data
    embedding[[3, 4]] = embedding[[4, 3]]  # the same numbers in another order
    seen.add(name())
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 5000.0}
    seen.add(name())
    model.config.rms_norm_eps *= 2
    seen.add(name())
    assert len(seen) == 1 + sum(1 for _ in model.parameters()) + 3
    model.config._name_or_path = "elsewhere"
    assert name() in seen


def test_a_tensor_in_pieces_has_the_sums_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for shape in ((7, 5), (3, 2, 4), (9,), (), (0, 3), (1, 1)):
        tensor = torch.randn(shape)
        whole = digests.bit_sums(tensor)
        with monkeypatch.context() as patch:
            patch.setattr(digests, "PIECE", 6)
            assert digests.bit_sums(tensor) == whole


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_LOOKING", 0)
    monkeypatch.setattr(module, "WORTH_KEEPING", 0.0)


def made_editor() -> Editor:
    return Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))


@pytest.mark.parametrize("place", ["/proc/ultraedit", "/dev/null/cache"])
def test_a_cache_that_cannot_be_written_costs_one_line(
    worth_it: None, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("ULTRAEDIT_CACHE", place)
    with pytest.warns(UserWarning, match=r"could not be kept in .*ULTRAEDIT_CACHE") as said:
        editor = made_editor()
    assert len(said) == 1
    assert editor.edit("The mayor of Tasp is", "Ida").turn == 1


def test_a_full_disk_there_costs_one_line_and_leaves_nothing(
    worth_it: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ULTRAEDIT_CACHE", str(tmp_path))

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(kept, "save_file", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        made_editor()
    assert list((tmp_path / "calibration").iterdir()) == []


def test_no_home_folder_means_no_cache(worth_it: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("ULTRAEDIT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    made_editor()


def test_odd_cache_files_are_measured_again(
    worth_it: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ULTRAEDIT_CACHE", str(tmp_path))
    right = made_editor().engine.calibration.output_norms
    (file,) = (tmp_path / "calibration").iterdir()
    whole = file.read_bytes()
    cuts = [whole[: len(whole) * k // 9] for k in range(9)]
    for data in (*cuts, b"\0" * 64, save({}), save({"output_norms": torch.zeros(1)})):
        file.write_bytes(data)
        assert made_editor().engine.calibration.output_norms == right
        assert file.read_bytes() == whole
    file.unlink()
    file.mkdir()  # cannot be replaced
    with pytest.warns(UserWarning, match="could not be kept"):
        assert made_editor().engine.calibration.output_norms == right


def test_a_small_model_is_measured_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "digest", None)  # reading every parameter would fail
    made_editor()
