"""Where a verb writes: an impossible place is told before any work, and what must stay is never replaced."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from .conftest import Run

NOWHERE = ("/proc/ultraedit", "/dev/null/out")


def told(run: Run, said: str, *arguments: object) -> None:
    """Exit 2, nothing on stdout, one line on stderr that quotes and says it."""
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1, ran.err


@pytest.mark.parametrize("place", NOWHERE)
def test_every_verb_tells_an_impossible_place_before_it_loads_anything(
    facts: Path, tmp_path: Path, run: Run, place: str
) -> None:
    """The models do not exist: whoever loaded first would say so."""
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "model: no/such-model\nedits: 2\nreport: [4, 6]\ndevelopment: [0, 3]\ngrid: {preset: fast, step: [0.1]}\n"
    )
    base, out = "no/such-model", ("--out", place)
    for arguments in (
        ("edit", base, "Who?", "Ida", *out),
        ("edit", base, "--file", facts, *out),
        ("demo", "--model", base, *out),
        ("export", base, "--to", "delta", *out),
        ("export", base, "--to", "gguf-lora", *out),
        ("export", base, "--to", "card", *out),
        ("bench", base, "--data", facts, *out),
        ("study", grid, "--data", facts, *out),
        ("eval", base, "--base", base, "--data", facts, *out),
        ("init", place, "--model", base),
        ("build", "--triples", facts, *out),
        ("edit", base, "--file", facts, "--out", tmp_path / "m", "--receipts", f"{place}/r.jsonl"),
    ):
        ran = run(*arguments)
        assert ran.code == 2, arguments
        assert place in ran.err and "such-model" not in ran.err, (arguments, ran.err)
        assert ran.err.count("\n") == 1


def test_the_base_is_not_replaced_by_its_edited_copy(
    tiny: Path, facts: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in tiny.iterdir()}
    (tmp_path / "link").symlink_to(tiny)
    monkeypatch.chdir(tiny.parent)
    said = "which this starts from and which would be gone"
    for out in (tiny, tiny.name, f"./{tiny.name}/.", tmp_path / "link", tiny.parent):
        for more in ((), ("--overwrite",)):
            told(run, said, "edit", tiny, "Who?", "Ida", "--out", out, *more)
            told(run, said, "edit", tiny.name, "--file", facts, "--out", out, *more)
            told(run, said, "demo", "--model", tiny, "--out", out, *more)
    assert {p.name: p.read_bytes() for p in tiny.iterdir()} == before


def test_an_export_replaces_neither_what_it_exports_nor_its_base(
    tiny: Path, tmp_path: Path, run: Run
) -> None:
    edited, space = tmp_path / "edited", tmp_path / "ws"
    assert run("edit", tiny, "Who?", "Ida", "--out", edited).code == 0
    assert run("init", space, "--model", tiny).code == 0
    said = "which this starts from and which would be gone"
    for kind in ("merged", "delta", "lora"):
        told(run, said, "export", edited, "--to", kind, "--out", edited, "--overwrite")
        told(run, said, "export", space, "--to", kind, "--out", space, "--overwrite")
        told(run, said, "export", edited, "--to", kind, "--out", tiny, "--overwrite")
    told(run, "is a workspace", "edit", tiny, "Who?", "Ida", "--out", space, "--overwrite")
    assert (edited / "model.safetensors").is_file()
    assert (space / "journal.jsonl").is_file()
    assert (tiny / "model.safetensors").is_file()


def test_a_base_is_found_from_another_folder(
    tiny: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    assert run("edit", tiny.name, "Who?", "Ida", "--out", tmp_path / "edited").code == 0
    monkeypatch.chdir(tmp_path)
    assert run("export", "edited", "--to", "delta", "--out", "delta").code == 0
    assert json.loads((tmp_path / "edited/ultraedit.json").read_text())["base"] == str(tiny)


def test_receipts_replace_no_facts_and_lie_outside_the_model(
    facts: Path, tmp_path: Path, run: Run
) -> None:
    whole = facts.read_bytes()
    base = ("edit", "no/such-model", "--file", facts, "--overwrite")
    told(run, "would be gone", *base, "--out", tmp_path / "m", "--receipts", facts)
    told(run, "would be gone", *base, "--out", facts.parent)
    out = tmp_path / "out"
    out.mkdir()
    told(run, "takes the place of", *base, "--out", out, "--receipts", out / "r.jsonl")
    assert facts.read_bytes() == whole


def test_receipts_that_cannot_be_written_cost_no_edits(
    tiny: Path, facts: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up during the stream: the model is saved, and then it is told."""
    import ultraedit.cli.receipts as module

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    out, receipts = tmp_path / "m", tmp_path / "r.jsonl"
    monkeypatch.setattr(module, "json", SimpleNamespace(dumps=full))
    ran = run("edit", tiny, "--file", facts, "--out", out, "--receipts", receipts)
    assert ran.code == 2
    assert (
        f"the edited model was saved to '{out}', but its receipts could not be written" in ran.err
    )
    assert (out / "model.safetensors").is_file()
    assert not receipts.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facts.jsonl", "m"]
