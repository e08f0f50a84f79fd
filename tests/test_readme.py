"""What the README tells people to type is typed here, with a tiny model under the name `smollm2`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import tiny
from ultraedit.cli.app import main
from ultraedit.data import read_records

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a model, a facts.jsonl and a small file in the form of zsRE."""
    model = tmp_path / "cached"
    tiny.llama(max_position_embeddings=512).save_pretrained(model)
    tiny.tokenizer(chat=True).save_pretrained(model)
    (tmp_path / "facts.jsonl").write_text(
        "".join(f'{{"prompt": "{p}", "target": "{t}"}}\n' for p, t in tiny.FEW)
    )
    row = {
        "subject": "Vell",
        "pred": "x",
        "answers": ["x"],
        "loc": "Is snow cold?",
        "loc_ans": "yes",
    }
    (tmp_path / "zsre.jsonl").write_text(
        "".join(
            json.dumps({**row, "src": f"No {i} is", "rephrase": f"So {i} is", "alt": "x"}) + "\n"
            for i in range(2000)
        )
    )
    monkeypatch.setattr("ultraedit.model.smollm2.smollm2_folder", lambda: model)
    monkeypatch.setattr("ultraedit.data.bundled.anchor_text", lambda: tiny.TEXT)
    requests = tiny.few_requests(tmp_path)
    monkeypatch.setattr("ultraedit.data.bundled.requests_path", lambda: requests)
    monkeypatch.setattr("ultraedit.cli.demo.DRIFT_CHARACTERS", 1000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_lines(somewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    exec(compile(code, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert 'p("Ida Krol")' in said and "edits=4" in said and "Answer(edited=" in said
    assert (somewhere / "edited-model" / "config.json").exists()


def test_the_commands(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = somewhere / "facts.jsonl"
    monkeypatch.setattr("ultraedit.data.bundled.facts_path", lambda: facts)
    typed = [line for block in blocks("sh") for line in block.splitlines()]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    ran = 0
    for line in typed:
        program, *arguments = shlex.split(line)
        if program == "make":
            assert set(arguments) <= set(targets), line
            continue
        assert program == "ultraedit", line
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code in (0, None), line
        ran += 1
    assert ran >= 5
    assert (somewhere / "edited" / "config.json").exists()
    assert (somewhere / "demo-out" / "config.json").exists()


def test_the_picture_and_the_links_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_numbers_of_facts_are_right() -> None:
    from ultraedit.data.bundled import facts_path
    from ultraedit.data.forms import FORMS

    count = sum(1 for _ in read_records(facts_path()))
    assert f"streams {count} invented\nfacts" in README or f"{count} invented facts" in README
    assert f"{len(FORMS)}\npublished data sets" in README
