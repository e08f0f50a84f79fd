"""A study: resumable, within its budget, and never reporting what it was tuned on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ultraedit.bench.study import Grid, finalists, read_grid, run_study, split
from ultraedit.bench.study_outputs import front, write_study
from ultraedit.cli.app import main
from ultraedit.errors import ConfigError, DataError

from .conftest import fact
from .test_bench import Killed, Silent, numbers

TRIED = {"preset": "default", "step": [0.5, 3], "steps": 2, "text_weight": 0, "history": False}


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultraedit.evaluation.report.write_report", lambda path, result: None)


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """24 facts; of the last twelve one shares its prompt with the first six and one its subject."""
    rows = [fact(i) | {"subject": f"lamp {i}"} for i in range(24)]
    rows[13] = rows[13] | {"prompt": f" {str(rows[2]['prompt']).upper()} "}
    rows[14] = rows[14] | {"subject": "Lamp  5"}
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def grid(model: Path, **changes: object) -> Grid:
    settings: dict[str, object] = {
        "model": str(model), "dtype": "float32", "development": (0, 6), "report": (12, 24),
        "edits": 6, "report_edits": 8, "turn_size": 4, "grid": TRIED, "finalists": 1, "orders": 2,
        "checkpoints": 1, "generate": 3, "most_harm": 1e9,
    }  # fmt: skip
    return Grid.model_validate(settings | changes)


SLOW = "default:step=0.5,steps=2,text_weight=0,history=false"
FAST = "default:step=3,steps=2,text_weight=0,history=false"


def test_rows_that_were_tuned_on_are_refused(model_folder: Path, facts: Path) -> None:
    tuned_on, reported_on, refused = split(grid(model_folder), str(facts))
    assert [r.subject for r in tuned_on] == [f"lamp {i}" for i in range(6)]
    assert refused == 2
    assert [r.id for r in reported_on] == [f"fact-{i}" for i in (12, *range(15, 24))]
    with pytest.raises(DataError, match="names row 99"):
        split(grid(model_folder, report=(12, 99)), str(facts))
    everything = grid(model_folder, report=(0, 12), report_edits=7)
    with pytest.raises(DataError, match="hold 6 records that share nothing"):
        run_study(everything, str(facts), facts.parent / "out", Silent())


def test_a_grid_is_all_combinations(model_folder: Path) -> None:
    assert grid(model_folder).specs() == (SLOW, FAST)
    more = grid(model_folder, presets=("fast", SLOW), grid=TRIED | {"ridge": [1, 10]})
    assert len(more.specs()) == 6  # fast, SLOW as it was given, and 2 x 2


def test_a_study_from_end_to_end_with_a_kill(
    model_folder: Path, facts: Path, tmp_path: Path
) -> None:
    wanted = grid(model_folder, always=(SLOW,), finalists=1)
    whole = run_study(wanted, str(facts), tmp_path / "whole", Silent())
    assert [r.preset for r in whole.development.runs] == [SLOW, FAST]
    assert whole.report is not None and whole.unfinished == ()
    assert [(r.preset, r.order) for r in whole.report.runs] == [
        (FAST, 0), (FAST, 1), (SLOW, 0), (SLOW, 1)
    ]  # fmt: skip
    asked = (tmp_path / "whole" / "report.jsonl").read_text().splitlines()
    assert {json.loads(x)["id"] for x in asked} == {f"fact-{i}" for i in (12, *range(15, 24))}
    with pytest.raises(KeyboardInterrupt):
        run_study(wanted, str(facts), tmp_path / "out", Killed(7))
    again = run_study(wanted, str(facts), tmp_path / "out", Silent())
    assert again.report is not None
    mine, theirs = numbers(again.report), numbers(whole.report)
    for found in (mine, theirs):
        del found["config"]["data"]  # type: ignore[index]
    assert mine == theirs
    write_study(tmp_path / "whole", whole)
    table = (tmp_path / "whole" / "table.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert [(r["part"], r["row"]) for r in rows] == [
        ("development", "unedited"), ("development", SLOW), ("development", FAST),
        ("report", "unedited"), ("report", FAST), ("report", SLOW),
    ]  # fmt: skip
    last = rows[-1]
    assert float(last["efficacy.token_accuracy low"]) <= float(last["efficacy.token_accuracy"])
    assert last["orders"] == "2" and float(last["edits per second"]) > 0
    text = (tmp_path / "whole" / "table.md").read_text()
    assert "2 rows of the report slice share" in text and "8 edits, 2 orders" in text
    for name in ("development.png", "report.svg"):
        assert (tmp_path / "whole" / name).stat().st_size > 5_000
    assert front(whole.report, "efficacy.token_accuracy")


def test_a_spent_budget_is_told_and_taken_up_again(
    model_folder: Path, facts: Path, tmp_path: Path
) -> None:
    wanted = grid(model_folder, finalists=0, generate=0)
    begun = run_study(
        wanted.model_copy(update={"seconds": 0.0}), str(facts), tmp_path / "out", Silent()
    )
    assert begun.unfinished == (SLOW, FAST) and begun.development.runs == []
    write_study(tmp_path / "out", begun)
    assert "Not run within the budget" in (tmp_path / "out" / "table.md").read_text()
    assert not (tmp_path / "out" / "development" / "result.json").exists()
    done = run_study(wanted, str(facts), tmp_path / "out", Silent())
    assert done.unfinished == () and len(done.development.runs) == 2


def test_finalists_are_the_best_of_the_bearable(
    model_folder: Path, facts: Path, tmp_path: Path
) -> None:
    wanted = grid(model_folder, finalists=0, generate=0)
    found = run_study(wanted, str(facts), tmp_path / "out", Silent()).development
    harms = [r.checkpoints[-1].figures["drift.perplexity_ratio"].value for r in found.runs]
    assert harms[0] < harms[1]
    best = wanted.model_copy(update={"finalists": 1})
    assert finalists(best, found) == (FAST,)
    between = sum(harms) / 2
    assert finalists(best.model_copy(update={"most_harm": between}), found) == (SLOW,)
    assert finalists(best.model_copy(update={"always": (SLOW,)}), found) == (FAST, SLOW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: m\n", "development: field required"),
        ("model: m\ndevelopment: [0, 5]\nreport: [5, 9]\n", "tries nothing"),
        ("model: m\ndevelopment: [5, 5]\nreport: [5, 9]\npresets: [fast]\n", "holds no row"),
        (
            "model: m\ndevelopment: [0, 5]\nreport: [5, 9]\npresets: [fast]\nalways: [paper]\n",
            "'paper' goes into the report and is not among those tried",
        ),
        ("model: m\nrows: 3\n", "rows: extra inputs"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_bad_grid_is_told_in_one_sentence(
    text: str, message: str, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    if "field required" not in message and "extra" not in message:
        with pytest.raises(ConfigError, match=message):
            read_grid(file)
    with pytest.raises(SystemExit) as left:
        main(["study", str(file), "--data", str(facts), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1
