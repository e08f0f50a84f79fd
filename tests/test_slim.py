"""A plain installation edits, asks, saves and keeps workspaces; what needs an extra says which, before it begins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiny
from ultraedit.cli.app import main
from ultraedit.extras import EXTRAS, require

ROOT = Path(__file__).parents[1]
ROWS = [
    {"prompt": f"Who wrote book {i}?", "target": f"Ann {name}"}
    for i, name in enumerate(("Lee", "Ray", "Fox"))
]
GRID = "model: {model}\ndevelopment: [0, 2]\nreport: [2, 3]\nedits: 2\nreport_edits: 1\npresets: [default]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, the same facts in three kinds of file, and a grid."""
    place = tmp_path_factory.mktemp("slim")
    tiny.llama(max_position_embeddings=512).save_pretrained(place / "model")
    tiny.tokenizer().save_pretrained(place / "model")
    (place / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lines = ["prompt,target", *(f"{row['prompt']},{row['target']}" for row in ROWS)]
    (place / "facts.csv").write_text("\n".join(lines) + "\n")
    (place / "shards").mkdir()
    for file in (place / "facts.parquet", place / "shards" / "0.parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    (place / "grid.yaml").write_text(GRID.format(model=place / "model"))
    return place


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, Any]:
    """What `slim.py` did and said, with the packages of every extra hidden."""
    script = Path(__file__).with_name("slim.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_hidden_was_imported(seen: dict[str, Any]) -> None:
    assert seen["imported"] == []


def test_the_library_edits_asks_and_saves(seen: dict[str, Any]) -> None:
    python = seen["python"]
    assert python["learned"] and python["same"]
    targets = [row["target"] for row in ROWS]
    assert python["read"] == {"jsonl": targets, "csv": targets}


@pytest.mark.parametrize(
    "verb",
    [
        "help", "validate", "edit", "ask", "init", "write", "undo", "log", "verify", "eval",
        "card", "delta", "gguf", "demo", "plan", "build --help",
    ],
)  # fmt: skip
def test_these_verbs_need_no_extra(seen: dict[str, Any], verb: str) -> None:
    assert seen["shell"][verb]["code"] == 0, seen["shell"][verb]


def test_what_was_written_is_there(folder: Path, seen: dict[str, Any]) -> None:
    assert json.loads(seen["shell"]["edit"]["out"])["edits"] == len(ROWS)
    assert json.loads(seen["shell"]["write"]["out"])["edits"] == len(ROWS)
    for made in ("saved", "many", "demo"):
        assert (folder / made / "model.safetensors").is_file(), made
    assert (folder / "card.md").is_file() and (folder / "a.gguf").is_file()


@pytest.mark.parametrize(
    ("verb", "said", "extra"),
    [
        (
            "bench",
            "a benchmark needs the packages `jinja2`, `matplotlib` and `pyarrow`",
            "bench",
        ),
        ("study", "a study needs", "bench"),
        ("eval with --out", "an evaluation with --out needs", "bench"),
        ("eval of parquet", "facts.parquet' needs the package `pyarrow`", "parquet"),
        ("eval with --ability", "general ability needs the package `lm_eval`", "ability"),
        ("edit of parquet", "facts.parquet' needs the package `pyarrow`", "parquet"),
        ("workspace of parquet", "facts.parquet' needs", "parquet"),
        ("export of parquet", "facts.parquet' needs", "parquet"),
        ("validate of parquet", "facts.parquet' needs", "parquet"),
        (
            "build",
            "`ultraedit build` needs the packages `ultraeditbench`, `duckdb` and `pyarrow`",
            "build",
        ),
    ],
)
def test_what_needs_an_extra_says_so(
    seen: dict[str, Any], verb: str, said: str, extra: str
) -> None:
    ran = seen["shell"][verb]
    assert ran["code"] == 2, ran
    assert ran["err"].startswith("error: ") and ran["err"].count("\n") == 1
    assert said in ran["err"] and f"pip install 'ultraedit[{extra}]'" in ran["err"]
    assert "Loading" not in ran["err"] and ran["out"] == ""


def test_the_builder_is_found_in_a_clone(seen: dict[str, Any]) -> None:
    said = seen["shell"]["build"]["err"]
    (folder,) = re.findall(r"in a clone: pip install --editable (\S+)", said)
    assert (ROOT / folder / "pyproject.toml").is_file()


def test_build_without_its_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ultraeditbench", None)
    with pytest.raises(SystemExit) as left:
        main(["build", "--triples", str(folder / "facts.jsonl"), "--out", str(folder / "built")])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "error: `ultraedit build` needs the package `ultraeditbench`; install it with: pip install "
        "'ultraedit[build]', or in a clone: pip install --editable packages/ultraeditbench\n"
    )
    assert not (folder / "built").exists()


def test_a_baseline_without_its_package_is_refused_before_the_model_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    data, out = folder / "facts.jsonl", folder / "bench"
    with pytest.raises(SystemExit) as left:
        main(
            ["bench", "no-such-model", "--data", str(data), "--baseline", "lora", "--out", str(out)]
        )
    assert left.value.code == 2
    assert "the baseline lora needs the package `peft`" in capsys.readouterr().err
    assert not out.exists()


def test_a_refusal_leaves_nothing_behind(folder: Path, seen: dict[str, Any]) -> None:
    assert seen["shell"]["bench"]["code"] == 2
    for name in ("bench", "study", "eval", "no", "no.md", "built", "r.html", "scores.parquet"):
        assert not (folder / name).exists(), name


@pytest.mark.parametrize("work", ["write_scores", "read_scores", "write_report", "write_study"])
def test_functions_refuse_too(seen: dict[str, Any], work: str) -> None:
    kind, said = seen["library"][work]
    assert kind in ("ConfigError", "DataError"), said
    assert "pip install 'ultraedit[" in said


@pytest.mark.parametrize("source", ["parquet", "shards", "hub"])
def test_readers_refuse_at_once(seen: dict[str, Any], source: str) -> None:
    kind, said = seen["python"][source]
    extra = "hub" if source == "hub" else "parquet"
    assert kind == "DataError" and f"'ultraedit[{extra}]'" in said


def test_a_template_that_cannot_be_rendered_is_a_sentence(seen: dict[str, Any]) -> None:
    kind, said = seen["python"]["chat"]
    assert kind in ("ConfigError", "DataError") and "jinja2" in said


def test_require_names_only_what_is_missing() -> None:
    for extra in EXTRAS:
        require("anything", extra)  # the environment of the tests has them all


def test_extras_are_those_of_pyproject() -> None:
    """What an extra promises to bring is what it brings, and the editor itself brings none of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = re.compile(r"[\w-]+")

    def modules(requirements: list[str]) -> set[str]:
        return {name.match(r)[0].replace("-", "_") for r in requirements}  # type: ignore[index]

    for extra, brought in EXTRAS.items():
        assert modules(project["optional-dependencies"][extra]) == set(brought), extra
        assert not set(brought) & modules(project["dependencies"]), extra
