"""`ultraedit edit`: one fact, a file of facts, and everything that cannot be edited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny as models
from ultraedit.data import read_records
from ultraedit.model.generate import answer
from ultraedit.model.load import load

from .conftest import Run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_one_fact_prints_its_receipt_and_says_that_nothing_was_saved(tiny: Path, run: Run) -> None:
    ran = run("edit", tiny, "Who wrote the book?", "Ann Ray")
    assert ran.code == 0
    assert '"Who wrote the book?"' in ran.out
    assert "before:" in ran.out and "after:" in ran.out and 'p("Ann Ray")' in ran.out
    assert ran.err == "Nothing was saved: add --out DIR to keep the edited model.\n"


def test_one_fact_is_saved(tiny: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    ran = run("edit", tiny, "Who wrote the book?", "Ann Ray", "--out", out, "--json")
    assert ran.code == 0 and ran.err == ""
    receipt = ran.json
    assert receipt["target"] == "Ann Ray" and receipt["out"] == str(out)
    assert receipt["probability_after"] > receipt["probability_before"]
    before, after = weights(tiny), weights(out)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{name}.weight" for name in receipt["moved"]}
    model, tokenizer = load(out)
    assert answer(model, tokenizer, ["Who wrote the book?"], "chat") == [receipt["after"]]


def test_rephrases_are_written_too(tiny: Path, run: Run) -> None:
    plain = run("edit", tiny, "Who wrote it?", "Ann Ray", "--json").json
    more = run("edit", tiny, "Who wrote it?", "Ann Ray", "--rephrase", "By whom?", "--json").json
    assert plain["moved"] != more["moved"]


def test_settings_reach_the_method(tiny: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "end-token: false\nstep: 0.01\nsteps: 2\nform: raw\nmodules: '*.1.mlp.down_proj'\n"
    )
    out = tmp_path / "out"
    assert run("edit", tiny, "Who?", "Ann", "--out", out, "--config", file).code == 0
    notes = json.loads((out / "ultraedit.json").read_text())
    method = notes["method"]
    assert (method["end_token"], method["step"], method["steps"]) == (False, 0.01, 2)
    assert notes["modules"] == ["model.layers.1.mlp.down_proj"] and notes["format"] == "raw"


def test_a_file_is_streamed_and_every_edit_counted(
    tiny: Path, facts: Path, tmp_path: Path, run: Run
) -> None:
    out, receipts = tmp_path / "out", tmp_path / "receipts.jsonl"
    ran = run(
        "edit",
        tiny,
        "--file",
        facts,
        "--out",
        out,
        "--receipts",
        receipts,
        "--turn-size",
        3,
        "--json",
    )
    assert ran.code == 0 and ran.err == ""
    assert ran.json["edits"] == 7 and ran.json["turns"] == 3
    assert ran.json["mean_probability_after"] > ran.json["mean_probability_before"]
    rows = [json.loads(line) for line in receipts.read_text().splitlines()]
    assert [r["prompt"] for r in rows] == [r.prompt for r in read_records(facts)]
    assert [r["turn"] for r in rows] == [1, 1, 1, 2, 2, 2, 3]
    notes = json.loads((out / "ultraedit.json").read_text())
    assert notes["edits"] == 7 and notes["format"] == "chat"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facts.jsonl", "out", "receipts.jsonl"]


def test_the_summary_for_people(tiny: Path, facts: Path, tmp_path: Path, run: Run) -> None:
    ran = run("edit", tiny, "--file", facts, "--out", tmp_path / "out")
    assert ran.code == 0
    assert "7 in 1 turns" in ran.out and "edits/s" in ran.out and "mean p(target)" in ran.out
    assert ran.err == ""  # no progress bar where stderr is no terminal


def test_the_same_run_gives_the_same_weights(
    tiny: Path, facts: Path, tmp_path: Path, run: Run
) -> None:
    for name in ("a", "b"):
        run("edit", tiny, "--file", facts, "--out", tmp_path / name, "--seed", 3)
    one, two = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_repeated_prompt_warns_and_names_both_lines(tiny: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "facts.csv"
    file.write_text("prompt,target\nWho?,Ann\nWhere?,Rome\nWho?,Bob\n")
    ran = run("edit", tiny, "--file", file, "--out", tmp_path / "out", "--json")
    assert ran.code == 0 and ran.json["edits"] == 3 and ran.json["superseded"] == 1
    assert ran.err.startswith("warning: line 4 gives") and "line 2 gave" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b'{"prompt": "Who?", "target": " "}\n', "line 1: "),
        ("latin.jsonl", '{"prompt": "Qui \xe9?", "target": "x"}\n'.encode("latin-1"), "UTF-8"),
        ("columns.csv", b"question,reply\nWho?,Ann\n", "found: question, reply"),
        ("rows.jsonl", b"", "holds no rows"),
        ("odd.xlsx", b"", "odd.xlsx"),
    ],
)
def test_a_file_that_cannot_be_read(
    name: str, content: bytes, said: str, tiny: Path, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    ran = run("edit", tiny, "--file", file, "--out", tmp_path / "out")
    refused(ran.code, ran.out, ran.err, said)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def refused(code: int, out: str, err: str, said: str) -> None:
    """Exit 2, nothing on stdout, one sentence on stderr."""
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Who?", " "), "empty"),
        (("", "Ann"), "empty"),
        ((), "nothing to edit"),
        (("Who?",), "nothing to edit"),
        (("Who?", "Ann", "--file", "x.jsonl"), "both a prompt and --file"),
        (("--file", "x.jsonl"), "x.jsonl"),
        (("Who?", "Ann", "--receipts", "r.jsonl"), "--receipts is for --file"),
        (("Who?", "Ann", "--with-rephrases"), "--with-rephrases is for --file"),
        (("Who?", "Ann", "--preset", "best"), 'preset "best" is unknown'),
        (("Who?", "Ann", "--steps", "0"), "steps is 0"),
        (("Who?", "Ann", "--step", "-1"), "step -1"),
        (("Who?", "Ann", "--modules", "*.nothing"), "'*.nothing'"),
        (("Who?", "Ann", "--modules", "paper"), "no module choice for llama"),
        (("Who?", "Ann", "--device", "nonsense"), 'device "nonsense"'),
        (("Who? " * 200, "Ann"), "context is 160"),
    ],
)
def test_a_bad_request(arguments: tuple[str, ...], said: str, tiny: Path, run: Run) -> None:
    ran = run("edit", tiny, *arguments)
    refused(ran.code, ran.out, ran.err, said)


def test_a_prompt_too_long_is_found_before_the_first_turn(
    tiny: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraedit.editing.editor import Editor

    file = tmp_path / "facts.csv"
    file.write_text("prompt,target\nWho?,Ann\n" + "Who? " * 200 + ",Bob\n")
    turns: list[object] = []
    monkeypatch.setattr(Editor, "edit_turn", lambda self, records, **_: turns.append(records))
    ran = run("edit", tiny, "--file", file, "--out", tmp_path / "out", "--turn-size", 1)
    refused(ran.code, ran.out, ran.err, "line 3: ")
    assert turns == [] and not (tmp_path / "out").exists()


def test_outputs_are_checked_before_the_model_is_loaded(
    facts: Path, tmp_path: Path, run: Run
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep me")
    base = ("edit", "no/such-model", "--file", facts)
    ran = run(*base, "--out", full)
    refused(ran.code, ran.out, ran.err, "already holds something")
    assert (full / "mine.txt").read_text() == "keep me"
    ran = run(*base, "--out", facts)
    refused(ran.code, ran.out, ran.err, "is a file")
    ran = run(*base, "--out", tmp_path / "out", "--receipts", facts)
    refused(ran.code, ran.out, ran.err, "exists; choose another file")
    ran = run(*base, "--out", tmp_path / "out", "--receipts", tmp_path / "no" / "r.jsonl")
    refused(ran.code, ran.out, ran.err, "does not exist")


def test_overwrite_replaces(tiny: Path, facts: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    ran = run("edit", tiny, "--file", facts, "--out", out, "--overwrite")
    assert ran.code == 0
    assert not (out / "old.txt").exists() and (out / "config.json").exists()


def test_a_refused_turn_leaves_no_file(
    tiny: Path, facts: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraedit.errors import NumericalError
    from ultraedit.methods import closed_form as turn

    seen: list[object] = []

    def second_is_nan(traces: object) -> None:
        seen.append(traces)
        if len(seen) > 6:
            raise NumericalError("the loss of this turn is not finite.")

    monkeypatch.setattr(turn, "_require_finite", second_is_nan)
    out, receipts = tmp_path / "out", tmp_path / "r.jsonl"
    ran = run("edit", tiny, "--file", facts, "--out", out, "--receipts", receipts, "--turn-size", 2)
    refused(ran.code, ran.out, ran.err, "not finite")
    assert [p.name for p in tmp_path.iterdir()] == ["facts.jsonl"]


@pytest.mark.parametrize("kind", ["missing", "empty", "no model"])
def test_a_model_that_is_not_there(kind: str, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "model"
    if kind != "missing":
        folder.mkdir()
    if kind == "no model":
        (folder / "config.json").write_text('{"model_type": "nonsense"}')
    ran = run("edit", folder, "Who?", "Ann")
    refused(ran.code, ran.out, ran.err, str(folder))


def test_no_memory_on_load(tiny: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    ran = run("edit", tiny, "Who?", "Ann")
    refused(ran.code, ran.out, ran.err, "does not fit into memory")


def test_chat_without_a_template(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "plain"
    models.llama().save_pretrained(folder)
    models.tokenizer().save_pretrained(folder)
    ran = run("edit", folder, "Who?", "Ann", "--form", "chat")
    refused(ran.code, ran.out, ran.err, "needs a chat template")


def test_an_interrupt_exits_with_130(
    tiny: Path, facts: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultraedit.editing.editor import Editor

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Editor, "edit_turn", interrupted)
    out, receipts = tmp_path / "out", tmp_path / "r.jsonl"
    ran = run("edit", tiny, "--file", facts, "--out", out, "--receipts", receipts)
    assert ran.code == 130 and "Traceback" not in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["facts.jsonl"]
