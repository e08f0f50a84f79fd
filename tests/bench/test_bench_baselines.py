"""Baselines and the warm-up inside a benchmark: the same questions, the same files, the same unedited row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit.bench.bench import run_bench
from ultraedit.cli.app import main
from ultraedit.errors import ConfigError, DataError

from .conftest import fact
from .test_bench import STRONG, Killed, Silent, config, numbers


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultraedit.evaluation.report.write_report", lambda path, result: None)


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Ten facts with subjects."""
    path = tmp_path / "named.jsonl"
    rows = [fact(i) | {"subject": f"lamp {i}"} for i in range(10)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


ROWS = ("finetune:rate=1e-2,epochs=20,batch=4", "lora:rate=3e-2,epochs=3", "memit", "retrieval")


def test_baselines_are_rows_like_presets(model_folder: Path, named: Path, tmp_path: Path) -> None:
    settings = config(model_folder, named, edits=10, checkpoints=2, preset=(STRONG,), baseline=ROWS)
    result = run_bench(settings, tmp_path / "out", Silent())
    assert [r.preset for r in result.runs] == [STRONG, *ROWS]
    before = result.unedited.figures["efficacy.token_accuracy"].value
    for run in result.runs:
        assert [c.edits for c in run.checkpoints] == [8, 10]
        final = run.checkpoints[-1].figures
        assert final["efficacy.token_accuracy"].n == 10
        assert {"locality.kl", "locality.agreement", "drift.perplexity_ratio"} <= final.keys()
        assert {f"needs, {what}" for what in ("training", "subject", "memory")} <= set(run.settings)
    by_name = {r.preset.partition(":")[0]: r for r in result.runs}
    learned = by_name["finetune"].checkpoints[-1].figures["efficacy.token_accuracy"].value
    assert learned > before + 0.3
    pace = by_name["finetune"].pace
    assert pace[-1].seconds > pace[-2].seconds  # the training at a checkpoint is editing time
    retrieval = by_name["retrieval"]
    assert all(m.shift_norm == 0 for m in retrieval.modules)
    figures = retrieval.checkpoints[-1].figures
    assert figures["drift.perplexity_ratio"].value == pytest.approx(1.0)
    assert figures["locality.kl"].value > 0  # the facts before the question do change its answer


def test_a_baseline_that_was_killed_starts_again(
    model_folder: Path, named: Path, tmp_path: Path
) -> None:
    settings = config(
        model_folder, named, edits=10, checkpoints=2, preset=(), baseline=ROWS[:1], generate=0
    )
    wanted = run_bench(settings, tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        run_bench(settings, tmp_path / "out", Killed(3))
    assert numbers(run_bench(settings, tmp_path / "out", Silent())) == numbers(wanted)


def test_a_baseline_that_needs_subjects_refuses_data_without(
    model_folder: Path, facts: Path, tmp_path: Path
) -> None:
    settings = config(model_folder, facts, preset=(), baseline=("memit",), generate=0)
    with pytest.raises(DataError, match="has no subject, and memit needs one"):
        run_bench(settings, tmp_path / "out", Silent())


def test_stableedit_is_warmed_up_on_other_records(
    model_folder: Path, named: Path, tmp_path: Path
) -> None:
    spec = "stableedit:step=1e-3"
    base = {"edits": 8, "checkpoints": 1, "preset": (spec,), "generate": 0}
    warm = tmp_path / "warm.jsonl"
    rows = [fact(i) | {"subject": f"lamp {i}"} for i in range(20, 26)]
    warm.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    cold = run_bench(config(model_folder, named, **base), tmp_path / "cold", Silent())
    settings = config(model_folder, named, **base, warm_up=str(warm))
    hot = run_bench(settings, tmp_path / "hot", Silent())
    assert [p.edits for p in hot.runs[0].pace] == [4, 8]  # the warm-up is not in the stream
    assert hot.runs[0].modules[0].shift_norm != cold.runs[0].modules[0].shift_norm
    with pytest.raises(ConfigError, match='shares the prompt or the subject of "The colour'):
        run_bench(
            config(model_folder, named, **base, warm_up=str(named)), tmp_path / "no", Silent()
        )
    plain = base | {"preset": ("fast",)}
    with pytest.raises(ConfigError, match="only stableedit is warmed up"):
        run_bench(config(model_folder, named, **plain, warm_up=str(warm)), tmp_path / "x", Silent())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "rome"], 'baseline "rome" is unknown; the baselines are finetune, lora'),
        (["--baseline", "memit:rate=1"], "setting 'rate' is unknown"),
        (["--baseline", "lora:rank=two"], "which is not a whole number"),
        (["--baseline", "finetune:epochs=0"], "epochs of finetune is 0; it must be above 0"),
        (["--baseline", "lora", "--baseline", "lora"], "'lora' is given twice"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(
    arguments: list[str], message: str, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", "none", "--data", str(facts), "--out", str(tmp_path / "o"), *arguments])
    said = capsys.readouterr().err
    assert left.value.code == 2 and message in said and said.count("\n") == 1
