"""Run as `python slim.py FOLDER`: what a plain `pip install ultraedit` must do, with the packages of extras hidden.

Prints JSON on its last line.  A process of its own, so that nothing hidden has been imported before.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from ultraedit.extras import EXTRAS
from ultraedit.settings import EditSettings

HIDDEN = {name for names in EXTRAS.values() for name in names} | {"rouge_score", "nltk", "pandas"}


class Without:
    """Finds what the environment holds, but for the hidden packages: they are as if never installed."""

    @staticmethod
    def find_distributions(*context: Any) -> Iterator[Distribution]:
        """Nor is ultraedit itself installed: a clone on the path has no metadata."""
        for found in PathFinder.find_distributions(*context):
            if found.metadata["Name"] != "ultraedit":
                yield found

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if name.partition(".")[0] in HIDDEN:
            return None
        return PathFinder.find_spec(name, path, target)  # type: ignore[arg-type]


def command(*arguments: object) -> dict[str, object]:
    """The command line in this process."""
    from ultraedit.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in arguments])
        except SystemExit as left:
            code = left.code
        except BaseException:
            code = traceback.format_exc()
    return {"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}


def raised(work: Callable[[], object]) -> list[str]:
    """Kind and message of the error that `work` ends in."""
    try:
        work()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]


def in_python(folder: Path) -> dict[str, object]:
    """The library: an edit, an answer, a checkpoint, files of facts."""
    import tiny
    from ultraedit import Editor, read_records
    from ultraedit.model.text import PromptEncoder

    editor = Editor.from_pretrained(folder / "model", EditSettings(form="raw"))
    receipt = editor.edit("Who wrote book 1?", "Ann Ray")
    editor.save_pretrained(folder / "saved")
    again = Editor.from_pretrained(folder / "saved", EditSettings(form="raw"))
    return {
        "learned": receipt.probability_after > receipt.probability_before,
        "same": again.ask("Who wrote book 1?").edited == editor.ask("Who wrote book 1?").edited,
        "read": {
            ending: [r.target for r in read_records(folder / f"facts.{ending}")]
            for ending in ("jsonl", "csv")
        },
        "parquet": raised(lambda: read_records(folder / "facts.parquet")),
        "shards": raised(lambda: read_records(folder / "shards")),
        "hub": raised(lambda: read_records("hf:owner/facts:train")),
        # the renderer of chat templates comes with torch; without it
        "chat": raised(lambda: PromptEncoder(tiny.tokenizer(chat=True), "chat").prompt("Who?")),
    }


def in_library(folder: Path) -> dict[str, object]:
    """The functions behind the verbs, called by themselves."""
    from ultraedit.bench.study import Study
    from ultraedit.bench.study_outputs import write_study
    from ultraedit.evaluation.files import read_scores, write_scores
    from ultraedit.evaluation.report import write_report

    nothing = None  # what would be written does not matter
    path = folder / "scores.parquet"
    return {
        "write_scores": raised(
            lambda: write_scores(path, [], preset="default", order=0, edits=None)
        ),
        "read_scores": raised(lambda: read_scores(path)),
        "write_report": raised(lambda: write_report(folder / "r.html", nothing)),  # type: ignore[arg-type]
        "write_study": raised(
            lambda: write_study(folder, Study(nothing, None, (), 0))  # type: ignore[arg-type]
        ),
    }


def in_shell(folder: Path) -> dict[str, dict[str, object]]:
    model, saved, space = folder / "model", folder / "saved", folder / "space"
    facts, parquet = folder / "facts.jsonl", folder / "facts.parquet"
    few = ("--score", 2, "--generate", 1)
    return {
        "help": command("--help"),
        "validate": command("validate", folder / "facts.csv"),
        "edit": command("edit", model, "--file", facts, "--out", folder / "many", "--json"),
        "ask": command("ask", folder / "many", "Who wrote book 1?", "--json"),
        "init": command("init", space, "--model", model, "--form", "raw"),
        "write": command("edit", space, "--file", facts, "--json"),
        "undo": command("undo", space, "--last", 1),
        "log": command("log", space, "--json"),
        "verify": command("verify", space),
        "eval": command("eval", folder / "many", "--data", facts, *few, "--json"),
        "card": command("export", space, "--to", "card", "--out", folder / "card.md"),
        "delta": command("export", space, "--to", "delta", "--out", folder / "delta"),
        "gguf": command(
            "export", space, "--to", "gguf-lora", "--out", folder / "a.gguf", "--force"
        ),
        "demo": command(
            "demo", "--model", model, "--out", folder / "demo", "--scored", 3, "--json"
        ),
        "plan": command("plan", model, "--json"),
        # what needs more
        "bench": command("bench", model, "--data", facts, "--out", folder / "bench"),
        "study": command("study", folder / "grid.yaml", "--data", facts, "--out", folder / "study"),
        "eval with --out": command("eval", saved, "--data", facts, "--out", folder / "eval"),
        "eval of parquet": command("eval", saved, "--data", parquet),
        "eval with --ability": command("eval", saved, "--data", facts, "--ability", "arc_easy"),
        "edit of parquet": command("edit", model, "--file", parquet, "--out", folder / "no"),
        "workspace of parquet": command("edit", space, "--file", parquet),
        "export of parquet": command(
            "export", saved, "--to", "card", "--edits", parquet, "--out", folder / "no.md"
        ),
        "validate of parquet": command("validate", parquet),
        "build": command("build", "--triples", facts, "--out", folder / "built"),
        "build --help": command("build", "--help"),
    }


if __name__ == "__main__":
    at = sys.meta_path.index(PathFinder)
    sys.meta_path[at] = Without  # type: ignore[call-overload]

    import tiny
    from ultraedit.cli import demo
    from ultraedit.data import bundled

    bundled.anchor_text = lambda: tiny.TEXT  # in place of 12,800 tokens
    demo.DRIFT_CHARACTERS = 1000
    place = Path(sys.argv[1])
    requests = tiny.few_requests(place)
    bundled.requests_path = lambda: requests
    found = {"python": in_python(place), "library": in_library(place), "shell": in_shell(place)}
    found["imported"] = sorted(HIDDEN & {name.partition(".")[0] for name in sys.modules})
    print(json.dumps(found))
