from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ultraedit.bench.bench import run_bench
from ultraedit.bench.config import Config
from ultraedit.bench.run import run_once
from ultraedit.bench.schedule import slug
from ultraedit.bench.scoring import Scoring
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, NumericalError
from ultraedit.evaluation.files import read_result, read_scores
from ultraedit.evaluation.schema import Result
from ultraedit.settings import EditSettings, Loading

from .conftest import cli, fact

STRONG = "default:step=3,text_weight=0,history=false"
"""Strong enough for a random model of four blocks to learn."""


class Silent:
    def stage(self, text: str) -> None: ...

    def run(self, label: str, order: int, edits: int) -> None: ...

    def turn(self, point: object) -> None: ...


class Killed(Silent):
    """Dies in the middle of turn `at`, counted over all runs."""

    def __init__(self, at: int) -> None:
        self.left = at

    def turn(self, point: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def numbers(result: Result) -> object:
    """All of a result but what the clock and the machine's memory make of it."""
    found = result.model_dump(mode="json", exclude={"created"})
    for run in found["runs"]:
        del run["pace"]
    return found


def config(model: Path, data: Path, **changes: object) -> Config:
    settings = {"edits": 18, "turn_size": 4, "checkpoints": 3, "loading": Loading("float32")}
    shared = {k: v for k, v in changes.items() if k in EditSettings.__dataclass_fields__}
    asked = {"generate": 4} | {
        k: v for k, v in changes.items() if k in Scoring.__dataclass_fields__
    }
    own = {k: v for k, v in changes.items() if k not in shared | asked or k == "preset"}
    shared.pop("preset", None)
    return Config(
        model=str(model),
        data=str(data),
        scoring=Scoring(**asked),  # type: ignore[arg-type]
        settings=EditSettings(**({"form": "raw"} | shared)),  # type: ignore[arg-type]
        **(settings | own),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model_folder):
    """One benchmark of two presets and two orders, run without interruption: (its settings, folder, result)."""
    folder = tmp_path_factory.mktemp("whole")
    rows = [fact(i) for i in range(18)]
    rows[10] = rows[10] | {"prompt": rows[3]["prompt"], "target": "gold"}
    data = folder / "facts.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    settings = config(model_folder, data, preset=(STRONG, "paper:step=1e-3"), orders=2)
    return settings, folder / "out", run_bench(settings, folder / "out", Silent())


@pytest.fixture(autouse=True)
def no_report(monkeypatch, whole):
    """Plots take seconds; the report of `whole` is made before this."""
    monkeypatch.setattr("ultraedit.evaluation.report.write_report", lambda path, result: None)


def test_one_row_a_preset_and_the_unedited_beside(whole):
    _, _, result = whole
    assert [(r.preset, r.order) for r in result.runs] == [
        (STRONG, 0),
        (STRONG, 1),
        ("paper:step=1e-3", 0),
        ("paper:step=1e-3", 1),
    ]
    assert result.unedited.figures["efficacy.token_accuracy"].n == 17
    for run in result.runs:
        assert [c.edits for c in run.checkpoints] == [8, 12, 18]
        final = run.checkpoints[-1].figures
        assert final["efficacy.token_accuracy"].n == 17
        assert {"locality.agreement", "locality.kl", "drift.perplexity_ratio"} <= final.keys()
        assert [p.edits for p in run.pace] == [4, 8, 12, 16, 18]
        assert run.retention[0].times == (8, 12, 18)
        for m in run.modules:
            assert m.shift_norm >= m.spectrum[0] > 0
            assert len(m.history) == 5
            assert m.history[-1] == pytest.approx(m.relative)
    learned = result.runs[0].checkpoints[-1].figures["efficacy.token_accuracy"].value
    assert learned > result.unedited.figures["efficacy.token_accuracy"].value + 0.2


def test_files(whole):
    _, out, result = whole
    assert read_result(out / "result.json") == result
    assert "paper:step=1e-3" in (out / "report.html").read_text(encoding="utf-8")
    assert not (out / "state").exists()
    rows = read_scores(out / "scores" / f"{slug(STRONG)}.order1.18.parquet")
    asked = {r.position for r in rows if r.family == "efficacy"}
    assert len(asked) == 17
    assert {r.age for r in rows} == {17 - p for p in asked}
    assert sum(r.generated is not None for r in rows) == 4 * 3
    assert all(r.age is None for r in read_scores(out / "scores" / "unedited.parquet"))


def test_turns_are_recorded(whole):
    import pyarrow.parquet as pq

    table = pq.read_table(whole[1] / "turns.parquet").to_pylist()
    assert len(table) == 4 * 5
    norms = [dict(t["shift_norms"]) for t in table]
    assert all(v > 0 for n in norms for v in n.values())
    assert all(t["resident_bytes"] > 0 and t["refused"] is None for t in table)


def test_the_later_target_of_a_prompt_is_the_one_scored(whole):
    _, out, result = whole
    assert result.config["records superseded"] == 1
    for order in (0, 1):
        rows = read_scores(out / "scores" / f"{slug(STRONG)}.order{order}.18.parquet")
        targets = [r.answer for r in rows if r.prompt == "The colour of lamp 3 is"]
        assert targets == ["gold"]


def test_orders_differ_and_share_their_unedited_row(whole):
    _, out, _ = whole
    order = {
        k: {
            r.edit_id: r.position
            for r in read_scores(out / "scores" / f"{slug(STRONG)}.order{k}.18.parquet")
        }
        for k in (0, 1)
    }
    assert order[0].keys() == order[1].keys()
    assert order[0] != order[1]
    assert order[0]["fact-4"] == 4


@pytest.mark.parametrize("at", [3, 13])
def test_a_kill_and_a_resume_give_the_same_numbers(whole, tmp_path, at):
    settings, _, wanted = whole
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_bench(settings, out, Killed(at))
    assert not (out / "result.json").exists()
    assert numbers(run_bench(settings, out, Silent())) == numbers(wanted)


def test_a_resume_does_not_repeat_what_is_done(whole, tmp_path, monkeypatch):
    settings = replace(whole[0], preset=(STRONG,))
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_bench(settings, out, Killed(8))
    seen: list[int] = []

    class Counting(Silent):
        def turn(self, point):
            seen.append(point.edits)

    run_bench(settings, out, Counting())
    assert seen[:3] == [12, 16, 18]  # order 0 was done, order 1 goes on after its first checkpoint
    assert len(seen) == 3

    def never(*_):
        raise AssertionError("a finished benchmark was run again")

    monkeypatch.setattr("ultraedit.bench.bench.run_once", never)
    assert run_bench(settings, out, Silent()).runs


def test_other_settings_or_data_are_refused_and_overwrite_starts_anew(whole, tmp_path, facts):
    settings, _, _ = whole
    out = tmp_path / "out"
    mine = config(Path(settings.model), facts, preset=("fast",))
    with pytest.raises(KeyboardInterrupt):
        run_bench(mine, out, Killed(3))
    with pytest.raises(ConfigError, match=r"other settings \(turn-size: 4, now 6\)"):
        run_bench(config(Path(settings.model), facts, preset=("fast",), turn_size=6), out, Silent())
    facts.write_text(facts.read_text().replace("gold", "grey"), encoding="utf-8")
    with pytest.raises(ConfigError, match="other data"):
        run_bench(mine, out, Silent())
    assert run_bench(mine, out, Silent(), overwrite=True).runs[0].preset == "fast"


def test_a_finished_benchmark_on_data_that_changed_is_refused(model_folder, facts, tmp_path):
    settings = config(model_folder, facts, edits=4, checkpoints=1, generate=0)
    run_bench(settings, tmp_path / "out", Silent())
    facts.write_text(facts.read_text().replace("gold", "grey"), encoding="utf-8")
    with pytest.raises(ConfigError, match="results on other data"):
        run_bench(settings, tmp_path / "out", Silent())


def test_a_folder_with_other_files_is_left_alone(whole, tmp_path):
    (tmp_path / "thesis.tex").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no benchmark's"):
        run_bench(whole[0], tmp_path, Silent(), overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_another_seed_gives_another_shuffle(whole, tmp_path):
    result = run_bench(replace(whole[0], preset=(STRONG,), seed=1), tmp_path / "out", Silent())
    assert result.runs[1].checkpoints != whole[2].runs[1].checkpoints
    same = [c.figures["efficacy.token_accuracy"].value for c in result.runs[0].checkpoints]
    assert same == [
        c.figures["efficacy.token_accuracy"].value for c in whole[2].runs[0].checkpoints
    ]


def test_the_model_is_whole_again_after_every_run(whole, tmp_path, monkeypatch):
    seen = []

    def watched(setting, editor, *rest):
        before = [w.parameter.clone() for w in editor.weights]
        run = run_once(setting, editor, *rest)
        seen.extend(
            bool((w.parameter == b).all()) for w, b in zip(editor.weights, before, strict=True)
        )
        return run

    monkeypatch.setattr("ultraedit.bench.bench.run_once", watched)
    settings = replace(whole[0], preset=(STRONG, "paper:step=1e-3"), orders=1)
    run_bench(settings, tmp_path / "out", Silent())
    assert seen == [True, True]


def test_a_refused_turn_is_an_alarm_and_the_stream_goes_on(
    model_folder, facts, tmp_path, monkeypatch
):
    write = Editor.edit_turn

    def refuse_one(editor, records, **settings):
        if records[0].id == "fact-4":
            raise NumericalError("the solve of this turn gave a non-finite update.")
        return write(editor, records, **settings)

    monkeypatch.setattr(Editor, "edit_turn", refuse_one)
    settings = config(model_folder, facts, preset=(STRONG,), edits=12, checkpoints=1, generate=0)
    run = run_bench(settings, tmp_path / "out", Silent()).runs[0]
    assert run.alarms[0].startswith("turn ending at 8 edits: the solve")
    assert run.checkpoints[-1].figures["efficacy.token_accuracy"].n == 11  # the refused four too
    assert [p.edits for p in run.pace] == [4, 8, 12]


def test_the_command(model_folder, facts, tmp_path, capsys):
    out = tmp_path / "out"
    base = (
        "bench",
        model_folder,
        "--data",
        facts,
        "--edits",
        12,
        "--turn-size",
        4,
        "--generate",
        3,
    )
    code = cli(
        *base, "--out", out, "--preset", "default:steps=2", "--preset", "paper", "--eta", "1e-3",
        "--require", "efficacy.token_accuracy=0", "--json",
    )  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(printed["rows"]) == ["unedited", "default:steps=2", "paper"]
    assert printed["unmet"] == []
    assert read_result(out / "result.json").runs[1].settings["step"] == 1e-3
    # config.yaml holds flags: it runs the same benchmark again, which is done already
    assert cli("bench", model_folder, "--config", out / "config.yaml", "--out", out) == 0
    text = capsys.readouterr().out
    assert "unedited" in text
    assert "report:" in text


def test_requirements_set_the_exit_code(model_folder, facts, tmp_path, capsys):
    base = ("bench", model_folder, "--data", facts, "--edits", 8, "--out", tmp_path / "out")
    assert cli(*base, "--require", "efficacy.token_accuracy=1.1") == 1
    assert "below the required 1.1" in capsys.readouterr().err
    assert cli(*base, "--require", "drift.perplexity=0.5") == 1
    assert "above the required 0.5" in capsys.readouterr().err
    assert cli(*base, "--require", "persona.kl=0.5") == 2
    assert "gives no such figure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "best"], 'preset "best" is unknown'),
        (["--preset", "paper:rate=1"], "setting 'rate' is unknown"),
        (["--preset", "paper:step"], "'step' is not a setting"),
        (["--preset", "default:steps=1.5"], "not a whole number"),
        (["--preset", "default:end_token=no"], "write true or false"),
        (["--preset", "fast", "--preset", "fast"], "given twice"),
        (["--require", "efficacy=0.5"], "there is no figure 'efficacy'"),
        (["--require", "efficacy.exact"], "has no value"),
        (["--require", "efficacy.exact=much"], "'much' is not a number"),
        (["--edits", "99"], "use --edits 18"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(
    model_folder, facts, tmp_path, capsys, arguments, message
):
    assert cli("bench", model_folder, "--data", facts, "--out", tmp_path / "out", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert not (tmp_path / "out").exists()
    assert error.count("\n") == 1
