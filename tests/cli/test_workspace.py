"""The verbs that work on a workspace, as on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ultraedit.workspace.workspace import Workspace

from .conftest import Run

PROMPT = "Who wrote book 0?"


@pytest.fixture
def workspace(run: Run, tiny: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    made = run("init", folder, "--model", tiny, "--preset", "fast", "--undo-window", "2", "--json")
    assert made.code == 0, made.err
    assert len(made.json["modules"]) == 1  # type: ignore[arg-type]
    return folder


def test_a_horizon_is_kept_with_the_workspace(
    run: Run, tiny: Path, facts: Path, tmp_path: Path
) -> None:
    """Later turns differ from those of a workspace without one, and the first, which nothing fades before, does not."""
    shifts = []
    for horizon in ("0", "4"):
        folder = tmp_path / f"ws{horizon}"
        made = run("init", folder, "--model", tiny, "--preset", "fast", "--horizon", horizon)
        assert made.code == 0, made.err
        method = json.loads((folder / "workspace.json").read_text())["method"]
        assert method["horizon"] == float(horizon)
        assert run("edit", folder, "--file", facts, "--turn-size", "2", "--json").code == 0
        with Workspace.open(folder) as opened:
            states = [opened.snapshot(turn).shifts for turn in (1, 2, 4)]
        shifts.append([next(iter(s.values())) for s in states])
    first, second, last = zip(*shifts, strict=True)
    assert first[0].equal(first[1])
    assert second[0].equal(second[1])  # the second turn's solve reads what the first absorbed
    assert not last[0].equal(last[1])
    bad = run("init", tmp_path / "bad", "--model", tiny, "--horizon", "-3")
    assert bad.code == 2
    assert "horizon is -3.0" in bad.err
    assert not (tmp_path / "bad").exists()


def edits(run: Run, folder: Path) -> list[dict[str, Any]]:
    """Every edit, oldest first."""
    log = run("log", folder, "--limit", "0", "--json").json
    assert isinstance(log["edits"], list)
    return log["edits"][::-1]


def test_a_file_is_edited_once_and_goes_on(run: Run, workspace: Path, facts: Path) -> None:
    first = run("edit", workspace, "--file", facts, "--turn-size", "3", "--json")
    assert first.code == 0, first.err
    assert (first.json["edits"], first.json["turns"], first.json["head"]) == (7, 3, 3)
    again = run("edit", workspace, "--file", facts, "--turn-size", "3", "--json")
    assert (again.json["edits"], again.json["skipped"]) == (0, 7)
    assert "7 rows" in again.err and "--again starts over" in again.err
    over = run("edit", workspace, "--file", facts, "--again", "--json")
    assert (over.json["edits"], over.json["head"]) == (7, 4)
    found = edits(run, workspace)
    assert [e["status"] for e in found] == ["repeated"] * 7 + ["current"] * 7
    assert found[0]["superseded_by_edit"] == 8


def test_one_fact_ask_show_and_log(run: Run, workspace: Path) -> None:
    done = run("edit", workspace, PROMPT, "Ann Lee", "--rephrase", "Book 0 by?")
    assert done.code == 0, done.err
    assert done.out.startswith(f'#1 "{PROMPT}"') and "before:" in done.out
    run("edit", workspace, PROMPT, "Bea Ray")
    shown = run("show", workspace, "#1", "--json").json["edits"]
    assert isinstance(shown, list)
    assert (shown[0]["status"], shown[0]["superseded_by_edit"]) == ("superseded", 2)
    assert shown[0]["rephrases"] == ["Book 0 by?"] and shown[0]["method"]["name"] == "fast"
    assert "target" in run("show", workspace, "2").out
    log = run("log", workspace).out
    assert log.startswith("2 edits ever, 1 in force; at turn 2 of 2")
    assert log.index("#2") < log.index("#1  turn 1  superseded by #2")
    asked = run("ask", workspace, PROMPT, "--compare", "base", "--json").json["answers"]
    assert isinstance(asked, dict) and set(asked) == {"head", "base"}
    assert run("ask", workspace, PROMPT, "--at", "1").code == 0
    missing = run("ask", workspace, PROMPT, "--at", "never")
    assert missing.code == 2 and 'no mark or turn "never"' in missing.err


def test_marks_undo_rollback_and_diff(run: Run, workspace: Path, facts: Path) -> None:
    run("edit", workspace, "--file", facts, "--turn-size", "3")
    assert run("mark", workspace, "seven").out == "seven: turn 3\n"
    undone = run("undo", workspace, "--last", "4", "--json").json
    assert (undone["head"], undone["edits"], undone["exact"]) == (1, 4, True)
    diff = run("diff", workspace, "seven", "head", "--json").json
    assert isinstance(diff["removed"], list) and isinstance(diff["moved"], dict)
    assert len(diff["removed"]) == 4 and min(diff["moved"].values()) > 0
    assert "4 fewer" in run("diff", workspace, "seven").out
    back = run("rollback", workspace, "--to", "seven")
    assert back.code == 0 and "stands at turn 3" in back.out
    replayed = run("undo", workspace, "--edit", "#2", "--json").json
    assert (replayed["kind"], replayed["exact"]) == ("replay", True)
    rough = run("undo", workspace, "--edit", "facts:7", "--by", "subtract")
    assert rough.code == 0 and "approximate" in rough.out, rough.err
    assert run("undo", workspace, "--last", "1", "--edit", "#1").code == 2
    assert "seven: turn 3" in run("mark", workspace).out
    assert run("mark", workspace, "seven", "--delete").out == "seven: was turn 3\n"
    gone = run("rollback", workspace, "--to", "seven")
    assert gone.code == 2 and "the marks are: healthy" in gone.err


def test_verify_says_what_is_damaged(run: Run, workspace: Path) -> None:
    run("edit", workspace, PROMPT, "Ann Lee")
    fine = run("verify", workspace, "--json")
    assert (fine.code, fine.json["sound"]) == (0, True)
    path = workspace / "states" / "00000001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    damaged = run("verify", workspace)
    assert damaged.code == 1
    assert "DAMAGED: states/00000001.safetensors: its bytes are not those" in damaged.out
    asked = run("ask", workspace, PROMPT)
    assert asked.code == 2 and "00000001.safetensors' is damaged" in asked.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--step", "3"), "--step does not go with the workspace"),
        (("--preset", "paper"), "--preset does not go with the workspace"),
        (("--out", "x"), "--out does not go with the workspace"),
        (("--no-end-token",), "--end-token does not go with the workspace"),
    ],
)
def test_settings_fixed_by_init_are_refused(
    run: Run, workspace: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused = run("edit", workspace, PROMPT, "Ann Lee", *arguments)
    assert refused.code == 2 and words in refused.err


def test_workspace_options_are_refused_elsewhere(run: Run, tiny: Path, facts: Path) -> None:
    refused = run("ask", tiny, PROMPT, "--at", "base")
    assert refused.code == 2 and "--at base is for a workspace" in refused.err
    refused = run("edit", tiny, "--file", facts, "--again", "--out", "x")
    assert refused.code == 2 and "--again is for a workspace" in refused.err
    refused = run("log", tiny)
    assert refused.code == 2 and "is not a workspace" in refused.err


def test_an_occupied_folder_is_no_place_for_a_workspace(run: Run, tiny: Path) -> None:
    refused = run("init", tiny, "--model", tiny)
    assert refused.code == 2 and "already holds something" in refused.err


def test_a_workspace_is_exported(run: Run, workspace: Path, tmp_path: Path) -> None:
    run("edit", workspace, PROMPT, "Ann Lee")
    done = run("export", workspace, "--to", "merged", "--out", tmp_path / "merged", "--json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["model_type"] == "llama"
    kept = run("ask", workspace, PROMPT, "--form", "raw")
    merged = run("ask", tmp_path / "merged", PROMPT, "--form", "raw")
    assert merged.out == kept.out


def test_a_workspace_is_scored_beside_its_base(run: Run, workspace: Path, facts: Path) -> None:
    run("edit", workspace, "--file", facts, "--turn-size", "3")
    quick = ("--generate", "0", "--json")
    rows: Any = run("eval", workspace, "--data", facts, *quick).json["rows"]
    assert list(rows) == ["unedited", "ws"]
    drift = "drift.perplexity_ratio"
    assert abs(rows["ws"][drift]["value"] - 1) > 1e-6
    perplexity = "efficacy.perplexity"
    assert rows["ws"][perplexity]["value"] < rows["unedited"][perplexity]["value"]
    assert rows["ws"]["drift.perplexity"] != rows["unedited"]["drift.perplexity"]
    again: Any = run("eval", workspace, "--data", facts, "--at", "base", *quick).json["rows"]
    assert again["unedited"] == rows["unedited"]
    assert again["ws"][drift]["value"] == 1.0
    assert run("ask", workspace, PROMPT).out == run("ask", workspace, PROMPT, "--at", "3").out


def test_without_data_a_workspace_is_asked_about_its_own_edits(
    run: Run, workspace: Path, facts: Path, tmp_path: Path
) -> None:
    none = run("eval", workspace)
    assert none.code == 2 and "no edits in force at turn 0" in none.err
    run("edit", workspace, "--file", facts, "--turn-size", "3")
    run("edit", workspace, PROMPT, "Bea Ray")
    run("undo", workspace, "--edit", "#7")
    out = tmp_path / "scores"
    done = run("eval", workspace, "--out", out, "--generate", "2", "--json")
    assert done.code == 0, done.err
    result = json.loads((out / "result.json").read_text())
    assert (result["data"]["name"], result["data"]["edits"]) == ("journal", 6)
    assert result["protocol"]["form"] == "chat"
    later = run("edit", workspace, PROMPT, "Cy Fox")
    assert later.code == 0, later.err
    stale = run("eval", workspace, "--out", out, "--generate", "2")
    assert stale.code == 2 and "other settings (at: " in stale.err


def test_eval_of_a_workspace_refuses_what_does_not_fit(
    run: Run, workspace: Path, tiny: Path, facts: Path
) -> None:
    refused = run("eval", workspace, "--data", facts, "--dtype", "bfloat16")
    assert refused.code == 2 and "--dtype does not go with the workspace" in refused.err
    refused = run("eval", tiny, "--base", tiny, "--data", facts, "--at", "base")
    assert refused.code == 2 and "--at base is for a workspace" in refused.err
    refused = run("eval", tiny, "--base", tiny)
    assert refused.code == 2 and "name records with --data" in refused.err
