"""`ultraedit demo` on a tiny model: what it prints, what it leaves, and that it checks its own folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny as models
from ultraedit.cli import demo
from ultraedit.cli.demo_tables import CHAT, SCORES
from ultraedit.data.bundled import facts_path
from ultraedit.data.read import read_records
from ultraedit.evaluation.chat.protocol import AGAINST_UNEDITED

from .conftest import Run

SMALL = ("--scored", 12, "--generated", 12, "--dtype", "float32", "--turn-size", 4)


@pytest.fixture(autouse=True)
def few_short_facts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Twelve of the bundled facts and a page of drift text, for a model of 30,000 weights."""
    rows = facts_path().read_text().splitlines()[:12]
    file = tmp_path / "twelve.jsonl"
    file.write_text("\n".join(rows))
    monkeypatch.setattr("ultraedit.data.bundled.facts_path", lambda: file)
    monkeypatch.setattr(demo, "DRIFT_CHARACTERS", 1000)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A tiny model whose context holds a drift window."""
    folder = tmp_path / "wide"
    models.llama(max_position_embeddings=512).save_pretrained(folder)
    models.tokenizer(chat=True).save_pretrained(folder)
    return folder


def test_the_result_for_machines(wide: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    ran = run("demo", "--model", wide, "--out", out, *SMALL, "--json")
    assert ran.code == 0
    found = ran.json
    assert found["summary"]["edits"] == 12 and found["summary"]["turns"] == 3
    assert found["edited_in"] == "chat" and list(found["scores"]) == ["chat", "raw"]
    records = list(read_records(tmp_path / "twelve.jsonl"))
    assert [a["target"] for a in found["answers"]] == [r.target for r in records][:10]
    assert all(a["before"] is not None and a["after"] is not None for a in found["answers"])
    for form, figures in found["scores"].items():
        shown = {name for name in SCORES if not name.startswith("drift") or form == "chat"}
        assert shown <= set(figures)
        for name in shown - {"locality.agreement", "drift.agreement"}:
            for which in ("unedited", "edited"):
                figure = figures[name][which]
                assert figure["low"] <= figure["value"] <= figure["high"] and figure["n"] > 0
    learned = found["scores"]["chat"]["efficacy.perplexity"]
    assert learned["edited"]["value"] < learned["unedited"]["value"]
    assert found["answers_same_after_reload"] == found["answers_asked_after_reload"] == 10
    before = AutoModelForCausalLM.from_pretrained(wide).state_dict()
    after = AutoModelForCausalLM.from_pretrained(out).state_dict()
    assert sum(not torch.equal(before[name], after[name]) for name in before) >= 1
    assert json.loads((out / "ultraedit.json").read_text())["edits"] == 12


def test_the_chat_stands_beside_the_unedited_models(
    wide: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CHAT_REQUESTS", 4)
    small = ("--scored", 2, "--generated", 2, "--dtype", "float32", "--turn-size", 12)
    chat = run("demo", "--model", wide, "--out", tmp_path / "out", *small, "--json").json["chat"]
    assert isinstance(chat, dict)
    assert chat["requests"] == 4
    assert set(CHAT) - {"kept", "instructions", "instructions_kept"} <= set(chat["edited"])
    for name, figure in chat["edited"].items():
        assert figure["low"] <= figure["value"] <= figure["high"] and figure["n"] > 0
        compares = name in AGAINST_UNEDITED
        assert compares or figure["protocol"] == chat["unedited"][name]["protocol"]
    assert chat["edited"]["kl"]["value"] > 0
    assert chat["edited"]["edits.bare"]["n"] == 2
    assert chat["kept"] <= chat["right_before"]


def test_the_page_for_people(wide: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    ran = run("demo", "--model", wide, "--out", out, *SMALL)
    assert ran.code == 0
    for words in ("12 edits in 3 turns", "Free answers", "Scores", "unedited", "edited", "in all"):
        assert words in ran.out
    assert "What is left of the chat" in ran.out
    for heading in ("Loading", "Asking the unedited", "Editing 12", "Asking the edited"):
        assert heading in ran.err


def test_an_occupied_folder_is_refused_before_anything_is_loaded(tmp_path: Path, run: Run) -> None:
    ran = run("demo", "--model", "no/such", "--out", tmp_path)
    assert ran.code == 2 and ran.out == "" and "already holds something" in ran.err


def test_a_folder_that_answers_differently_fails(
    wide: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_ask_again", lambda *_: (8, 10))
    ran = run("demo", "--model", wide, "--out", tmp_path / "out", *SMALL, "--json")
    assert ran.code == 1 and "gives 2 of 10 answers differently" in ran.err
