"""`ultraedit prepare` and `ultraedit consolidate`, as on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraedit.data.read import read_records
from ultraedit.editing.editor import Editor
from ultraedit.workspace import consolidate
from ultraedit.workspace.workspace import Workspace

from .conftest import Run


def test_facts_are_made_ready_to_be_written(
    run: Run, tiny: Path, facts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prepared.jsonl"
    done = run("prepare", facts, "--model", tiny, "--out", out, "--wordings", "2", "--json")
    assert done.code == 0, done.err
    assert (done.json["facts"], done.json["written"], done.json["known"]) == (7, 7, 0)
    records = list(read_records(out))
    given = list(read_records(facts))
    for record, fact in zip(records, given, strict=True):
        assert (record.prompt, record.target, record.rephrases) == (
            fact.prompt,
            fact.target,
            fact.rephrases,
        )
        assert len(record.wordings) == 2
        assert len(record.sentences) == 3
        assert all(record.target in s for s in record.sentences)
    edited = run(
        "edit", tiny, "--file", out, "--out", tmp_path / "edited", "--preset", "gentle", "--json"
    )
    assert edited.code == 0, edited.err
    assert edited.json["edits"] == 7


def test_what_is_known_is_left_out(
    run: Run, tiny: Path, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "I would say that Ann Lee wrote it."
    monkeypatch.setattr(Editor, "answers", lambda _, prompts, __: [known, *["no idea"] * 6])
    out = tmp_path / "prepared.jsonl"
    done = run("prepare", facts, "--model", tiny, "--out", out, "--json")
    assert (done.json["known"], done.json["written"]) == (1, 6)
    assert "Ann Lee" not in out.read_text()
    kept = run("prepare", facts, "--model", tiny, "--out", out, "--overwrite", "--keep-known")
    assert kept.code == 0, kept.err
    assert "1 (kept)" in kept.out
    assert "Ann Lee" in out.read_text()


def test_contradictions_are_named(run: Run, tiny: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--model", tiny, "--preset", "fast").code == 0
    assert run("edit", workspace, "Who wrote book 0?", "Ann Lee").code == 0
    head = Workspace.open(workspace).head
    facts = tmp_path / "facts.jsonl"
    rows = [("Who wrote book 0?", "Bo"), ("Who wrote book 1?", "Cy"), ("Who wrote book 1?", "Di")]
    facts.write_text("".join(json.dumps({"prompt": p, "target": t}) + "\n" for p, t in rows))
    out = tmp_path / "prepared.jsonl"
    done = run("prepare", facts, "--model", workspace, "--out", out, "--json")
    assert done.code == 0, done.err
    assert [c["conflict"] for c in done.json["conflicts"]] == [  # type: ignore[attr-defined]
        'edit "edit-1" of the workspace answers "Ann Lee"',
        'line 2 answers "Cy"',
    ]
    assert Workspace.open(workspace).head == head
    told = run("prepare", facts, "--model", workspace, "--out", out, "--overwrite")
    assert '"Who wrote book 1?" -> "Di": line 2 answers "Cy"' in told.err
    assert "2 (the later one is written)" in told.out


def test_what_cannot_be_prepared_is_refused_and_nothing_is_written(
    run: Run, tiny: Path, facts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prepared.jsonl"
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--model", tiny, "--preset", "fast").code == 0
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for words, said in (
        (("prepare", facts, "--model", tiny, "--out", facts, "--overwrite"), "this starts from"),
        (("prepare", facts, "--model", tiny, "--out", facts), "exists"),
        (("prepare", facts, "--model", tiny, "--out", tmp_path / "no" / "out"), "does not exist"),
        (("prepare", empty, "--model", tiny, "--out", out), "empty.jsonl"),
        (("prepare", facts, "--model", tiny, "--base", tiny, "--out", out), "is for a workspace"),
        (
            ("prepare", facts, "--model", workspace, "--preset", "fast", "--out", out),
            "--preset does not go with the workspace",
        ),
        (
            ("prepare", facts, "--model", tiny, "--wordings", "-1", "--out", out),
            "wordings is -1",
        ),
    ):
        done = run(*words)
        assert done.code == 2, words
        assert said in done.err
        assert not out.exists()


def test_consolidating_on_the_command_line(
    run: Run, tiny: Path, facts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--model", tiny, "--preset", "fast").code == 0
    assert run("edit", workspace, "--file", facts).code == 0
    with Workspace.open(workspace) as opened:
        records = opened.history.in_force()
    rounds = [records[:k] for k in (4, 2, 0)]
    monkeypatch.setattr(consolidate, "lost_edits", lambda *_: rounds.pop(0))
    done = run("consolidate", workspace)
    assert done.code == 0, done.err
    assert "round 1: 4 of 7 edits lost, 2 after writing them again" in done.err
    assert "0 of 7 edits lost" in done.out
    rounds = [records[:1], []]
    again = run("edit", workspace, "--file", facts, "--again", "--consolidate", "--json")
    assert again.code == 0, again.err
    with Workspace.open(workspace) as opened:
        assert len(list(opened.store.journal.rows(opened.head))) == 1, "the lost one"
    rounds = [[]]
    none = run("consolidate", workspace, "--json")
    assert none.json["rounds"] == []


def test_consolidate_where_there_is_nothing_to_consolidate(
    run: Run, tiny: Path, facts: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--model", tiny, "--preset", "fast").code == 0
    for words, said in (
        (("edit", workspace, "p", "t", "--consolidate"), "--consolidate is for --file"),
        (("edit", tiny, "--file", facts, "--out", tmp_path / "o", "--consolidate"), "workspace"),
        (("consolidate", tmp_path / "nothing"), "nothing"),
    ):
        done = run(*words)
        assert done.code == 2, words
        assert said in done.err
