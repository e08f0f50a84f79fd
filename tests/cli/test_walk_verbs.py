"""Every verb with bad values, missing files and folders of the wrong kind: it works, or one line says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from typer.main import get_command

import tiny as models
from nonsense import Walk
from ultraedit.cli.app import app
from ultraedit.settings import EditSettings
from ultraedit.workspace.create import create_workspace

HEAVY = {"bench", "build", "demo", "edit", "eval", "plan"}
"""Verbs that run through, for a second and more, where a value is not so bad after all."""


def each(verb: str) -> int:
    """Bad values tried for every option and argument of a verb, drawn from those below."""
    return 1 if verb == "demo" else 2 if verb in HEAVY else 6


def pairs(verb: str) -> int:
    """Commands with two bad values at once."""
    return 4 if verb in HEAVY else 18


WORDS = (
    "",
    " ",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "1e999",
    "-1e-9",
    "99999999999999999999",
    "9" * 5000,
    "abc",
    "é谁🙂",
    "\udcff",
    "a\nb",
    "x" * 5000,
    "a=b",
    "a:b=c",
    ":",
    ",",
    "=",
    "#",
    "hf:x",
    "[",
    "*",
    "'; DROP TABLE x",
    "--",
    "auto",
    "head",
    "base",
)
ENDLESS = {"--orders", "--steps", "--threads", "--size"}
"""A huge number of these is no mistake that a program could know of, only more work than anyone waits for."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders and files of every kind, right for one verb and wrong for the others."""
    root = tmp_path_factory.mktemp("walk")
    made = {name: root / name for name in ("model", "ws", "empty", "adapter", "half", "gone")}
    models.llama(max_position_embeddings=512).save_pretrained(made["model"])
    models.tokenizer(chat=True).save_pretrained(made["model"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ultraedit.data.bundled.anchor_text", lambda: models.TEXT)
        with create_workspace(made["ws"], made["model"], EditSettings(preset="fast")) as workspace:
            from ultraedit.data.record import Record

            workspace.edit_turn([Record(*fact, id=f"f{i}") for i, fact in enumerate(models.FEW)])
    made["empty"].mkdir()
    made["adapter"].mkdir()
    (made["adapter"] / "adapter_config.json").write_text("{}")
    shutil.copytree(made["model"], made["half"])
    (made["half"] / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    files = {
        "facts": ("facts.jsonl", '{"prompt": "Who?", "target": "Ann"}\n' * 2),
        "notes": ("ultraedit.json", "{"),
        "grid": ("grid.yaml", "presets: [fast]\n"),
        "yaml": ("odd.yaml", "model: {a: [1"),
        "triples": ("triples.tsv", "Q1\tP31\tQ2\n"),
        "text": ("text.txt", "nothing"),
        "null": ("null.json", "null"),
    }
    for name, (file, text) in files.items():
        made[name] = root / file
        made[name].write_text(text)
    return made


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, places: dict[str, Path]) -> None:
    """A demo of four facts, no network, and everything stray in a folder that goes away."""
    four = tmp_path / "four.jsonl"
    rows = [{"prompt": p, "target": t, "rephrases": [p + "?"]} for p, t in models.FEW]
    four.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr("ultraedit.data.bundled.facts_path", lambda: four)
    monkeypatch.setattr("ultraedit.data.bundled.drift_text", lambda: models.TEXT)
    # drawing takes seconds, and no input comes that far that was not used before
    monkeypatch.setattr("ultraedit.evaluation.report.render", lambda *_: "")
    monkeypatch.setattr("ultraedit.bench.study_outputs._plot", lambda *_: None)
    # a server that comes up would run until it is told to end
    monkeypatch.setattr("ultraedit.serving.run.serve", lambda app, service, bound, up: up())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ULTRAEDIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "smollm2-135m-instruct-v1").mkdir(parents=True)
    shutil.copytree(
        places["model"], tmp_path / "cache" / "smollm2-135m-instruct-v1", dirs_exist_ok=True
    )
    monkeypatch.chdir(tmp_path)


def usual(verb: str, places: dict[str, Path], out: Path) -> list[str]:
    """A command line of the verb that works, or comes as far as a tiny model lets it."""
    model, ws, facts = (str(places[name]) for name in ("model", "ws", "facts"))
    few = ["--score", "2", "--generate", "0"]
    return {
        "ask": [model, "Who?", "--max-new-tokens", "2"],
        "bench": [model, "--data", facts, "--out", str(out), "--preset", "fast", *few],
        "build": ["--triples", str(places["triples"]), "--out", str(out), "--threads", "1"],
        "demo": ["--model", model, "--out", str(out), "--scored", "2", "--generated", "1"],
        "diff": [ws, "base", "head"],
        "edit": [model, "Who?", "Ann", "--steps", "1"],
        "eval": [ws, *few],
        "export": [str(ws), "--to", "delta", "--out", str(out)],
        "init": [str(out), "--model", model],
        "log": [ws],
        "mark": [ws, "here"],
        "plan": [model],
        "push": [ws, "http://127.0.0.1:9"],  # where nobody answers
        "rollback": [ws, "--to", "head"],
        "serve": [ws, "--port", "0"],
        "show": [ws, "1"],
        "study": [str(places["grid"]), "--data", facts, "--out", str(out)],
        "undo": [ws, "--last", "9"],
        "validate": [facts],
        "verify": [ws],
    }[verb]


def parameters(verb: str) -> list[Any]:
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    return [p for p in command.params if p.name != "help"]


def spoilt(arguments: list[str], parameter: Any, value: str, position: int) -> list[str]:
    """The command line with one value replaced or added."""
    if parameter.param_type_name == "argument":
        return [*arguments[:position], value, *arguments[position + 1 :]]
    name = max(parameter.opts, key=len)
    if parameter.is_flag:
        return [*arguments, name]
    if name in arguments:
        at = arguments.index(name) + 1
        return [*arguments[:at], value, *arguments[at + 1 :]]
    return [*arguments, name, value]


VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_and_argument_with_bad_values(
    verb: str, places: dict[str, Path], tmp_path: Path
) -> None:
    dice, walk = random.Random(verb), Walk()
    kept = {name: path.read_bytes() for name, path in places.items() if path.is_file()}
    values = [*WORDS, *(str(path) for path in places.values()), str(tmp_path / "no" / "folder")]
    given = parameters(verb)
    tried = [(p,) for p in given for _ in range(1 if getattr(p, "is_flag", False) else each(verb))]
    tried += [tuple(dice.sample(given, 2)) for _ in range(pairs(verb))]
    for number, wrong in enumerate(tried):
        arguments = usual(verb, places, tmp_path / f"out{number}")
        for parameter in wrong:
            value = dice.choice(values)
            # a bare name is looked up among the harness's thousands of tasks, and every module fits a star
            if verb in ("bench", "eval") and "--ability" in parameter.opts:
                value = f"{value}={value}"
            if value == "*":
                value = "[*"
            endless = ENDLESS & set(parameter.opts) and len(value) > 3
            index = [p for p in given if p.param_type_name == "argument"]
            position = index.index(parameter) if parameter in index else 0
            arguments = spoilt(arguments, parameter, "abc" if endless else value, position)
        walk.command([verb, *arguments])
    walk.judge(at_least=len(tried))
    assert {name: places[name].read_bytes() for name in kept} == kept, (
        "input files are as they were"
    )
    left = [p.name for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    assert left == [], "nothing half written stays behind"


@pytest.mark.parametrize("verb", VERBS)
def test_folders_and_files_of_the_wrong_kind(
    verb: str, places: dict[str, Path], tmp_path: Path
) -> None:
    """Each place in turn as the first argument, and as every option that takes a file, folder or model."""
    walk = Walk()
    given = parameters(verb)
    takes = [p for p in given if p.metavar and not getattr(p, "is_flag", False)]
    number = 0
    for name, place in places.items():
        for parameter in takes:
            if parameter.name in ("prompt", "target", "a", "b", "id", "name", "config"):
                continue
            number += 1
            arguments = usual(verb, places, tmp_path / f"out{number}")
            position = [p for p in given if p.param_type_name == "argument"]
            at = position.index(parameter) if parameter in position else 0
            # a copy, because a verb may rightly write into a workspace
            value = place
            if name == "ws":
                value = tmp_path / f"ws{number}"
                shutil.copytree(place, value)
            walk.command([verb, *spoilt(arguments, parameter, str(value), at), "--json"])
    walk.judge(at_least=len(places))


def test_how_many_bad_inputs_that_is() -> None:
    """What the test above feeds to all verbs together."""
    count = sum(
        1 if getattr(p, "is_flag", False) else each(verb)
        for verb in VERBS
        for p in parameters(verb)
    ) + sum(map(pairs, VERBS))
    assert count >= 800
