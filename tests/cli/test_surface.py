"""The command line as users know it: verbs, options, `--config`, and how fast `--help` is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

import ultraedit
from ultraedit.cli.app import app, main

from .conftest import Run

LOADED = "--dtype --device --device-map --trust-remote-code"
MODEL = f"{LOADED} --quantize"
SETTINGS = (
    "--modules --form --step --steps --ridge --text-weight --horizon --end-token --voice --wordings "
    "--micro-batch --text"
)
COMMON = "--config --json --seed"

SURFACE = {
    "ask": f"MODEL PROMPT --compare --at --base --form --max-new-tokens {MODEL} {COMMON}",
    "build": "FILE... --triples --out --size --kind --conflicts --dev --eval --published-json --rewrite "
    "--rewrite-model --note --memory --threads --config --json --seed",
    "bench": "MODEL --data --out --edits --turn-size --preset --baseline --eta --warm-up --checkpoints "
    f"--orders {SETTINGS} --score --generate --chat --ability --ability-limit --question-marks --require --overwrite "
    f"{MODEL} {COMMON}",
    "eval": "MODEL --data --base --at --edits --form --out --overwrite --score --generate --chat --ability "
    f"--ability-limit --question-marks --require {LOADED} {COMMON}",
    "study": "GRID --data --out --overwrite --device --device-map --trust-remote-code --json",
    "demo": f"--out --overwrite --model --turn-size --scored --generated --dtype --device --device-map {COMMON}",
    "edit": "MODEL PROMPT TARGET --rephrase --file --out --overwrite --receipts --with-rephrases --turn-size --again "
    f"--consolidate --server --base --preset {SETTINGS} {MODEL} {COMMON}",
    "consolidate": "WORKSPACE --rounds --minutes --turn-size --base --device --device-map --trust-remote-code --json",
    "prepare": f"FACTS --model --out --overwrite --keep-known --base --preset {SETTINGS} {MODEL} {COMMON}",
    "init": f"WORKSPACE --model --preset {SETTINGS} --undo-window --policy {MODEL} {COMMON}",
    "log": "WORKSPACE --limit --json",
    "show": "WORKSPACE ID --json",
    "diff": "WORKSPACE A B --json",
    "undo": "WORKSPACE --last --edit --by --server --base --device --device-map --trust-remote-code --json",
    "rollback": "WORKSPACE --to --server --base --device --device-map --trust-remote-code --json",
    "mark": "WORKSPACE NAME --at --delete --server --json",
    "verify": "WORKSPACE --base --json",
    "export": "EDITED --to --out --base --edits --rank --keep --force --result --overwrite --device "
    "--device-map --trust-remote-code --config --json",
    "push": "WORKSPACE URL --as --at --how --folder --key-env --admin-key-env --keep --check --dry-run --base --device "
    "--device-map --trust-remote-code --config --json",
    "plan": "MODEL --turn-size --micro-batch --tokens-per-edit --dtype --quantize --preset --modules --budget --json",
    "serve": "WORKSPACE --host --port --name --keys --allow-host --allow-origin --rows --waiting --changes --versions "
    "--max-tokens --max-edits --base --device --device-map --trust-remote-code --config",
    "validate": "FILE --form --json",
}
"""Every verb with its arguments and options.  Taking one away breaks somebody's script."""


def surface() -> dict[str, set[str]]:
    group = get_command(app)
    return {
        name: {
            (p.metavar or str(p.name)) if p.param_type_name == "argument" else max(p.opts, key=len)
            for p in command.params
        }
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


def test_the_surface_is_frozen() -> None:
    found = surface()
    for verb, words in SURFACE.items():
        assert found.get(verb) == set(words.split()), verb


def test_every_option_has_a_help_text() -> None:
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        assert [p.name for p in command.params if not p.help] == [], name


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_help_is_fast_and_loads_no_heavy_library() -> None:
    code = """
import sys, time
start = time.process_time()
from ultraedit.cli.app import main
try:
    main(["--help"])
except SystemExit as left:
    assert left.code == 0
heavy = {"torch", "transformers", "pyarrow", "duckdb", "datasets", "matplotlib", "numpy", "pydantic"}
print("LOADED", *sorted(heavy & set(sys.modules)))
print("SECONDS", time.process_time() - start)
"""
    out = python(code)
    assert "edit" in out and out.splitlines()[-2] == "LOADED"
    assert float(out.split()[-1]) < 0.5


def test_importing_the_package_is_fast_and_loads_no_torch() -> None:
    code = """
import sys, time
start = time.process_time()
import ultraedit
print(time.process_time() - start, "torch" in sys.modules, "transformers" in sys.modules)
"""
    seconds, *loaded = python(code).split()
    assert float(seconds) < 0.3 and loaded == ["False", "False"]


def test_every_public_name_is_there_and_documented() -> None:
    for name in ultraedit.__all__:
        assert getattr(ultraedit, name) is not None
        if isinstance(getattr(ultraedit, name), type):
            assert getattr(ultraedit, name).__doc__, name
    assert set(ultraedit.__all__) == set(dir(ultraedit))
    with pytest.raises(AttributeError, match="nonsense"):
        ultraedit.nonsense  # noqa: B018


def test_version(run: Run) -> None:
    assert run("--version").out == f"{ultraedit.__version__}\n"


def test_an_unknown_option_and_verb_exit_with_2(run: Run) -> None:
    assert run("edit", "x", "--nonsense").code == 2
    ran = run("nonsense")
    assert ran.code == 2 and "nonsense" in ran.err and "Traceback" not in ran.err


def test_config_gives_values_and_flags_win(tiny: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"model: {tiny}\nprompt: Who?\nmax-new-tokens: 3\nform: raw\njson: true\n")
    both = run("ask", "--config", file)
    assert both.code == 0 and both.json["prompt"] == "Who?" and both.json["form"] == "raw"
    flags = run("ask", "--config", file, "--form", "chat", tiny, "Why?")
    assert flags.json["prompt"] == "Why?" and flags.json["form"] == "chat"


def test_config_takes_lists_and_single_values(tiny: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "run.yaml"
    moved = []
    for rephrase in ("'By whom?'", "['By whom?']"):
        file.write_text(f"rephrase: {rephrase}\njson: true\n")
        moved.append(run("edit", tiny, "Who wrote it?", "Ann", "--config", file).json["moved"])
    assert moved[0] == moved[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("trun: 50\n", 'sets "trun", which edit does not know; it knows model, prompt'),
        ("- turn\n", "holds no keys"),
        ("turn-size: [1\n", "is not YAML"),
    ],
)
def test_a_bad_config(content: str, said: str, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    ran = run("edit", "x", "Who?", "Ann", "--config", file)
    assert ran.code == 2 and ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert said in ran.err and str(file) in ran.err


def test_a_config_value_of_the_wrong_kind(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("turn-size: many\n")
    ran = run("edit", "x", "Who?", "Ann", "--config", file)
    assert ran.code == 2 and "Invalid value for '--turn-size'" in ran.err and "integer" in ran.err


def test_a_config_that_is_not_there(run: Run) -> None:
    ran = run("ask", "x", "Who?", "--config", "no.yaml")
    assert ran.code == 2 and "'no.yaml' cannot be read" in ran.err


def test_main_always_leaves_through_system_exit() -> None:
    start = time.monotonic()
    with pytest.raises(SystemExit):
        main(["--version"])
    assert time.monotonic() - start < 5
