"""`ultraedit export` as on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ultraedit.export import apply_delta
from ultraedit.model.load import load
from ultraedit.workspace.workspace import Workspace

from .conftest import Run


@pytest.fixture
def edited(run: Run, tiny: Path, facts: Path, tmp_path: Path) -> Path:
    """The tiny model with seven facts, saved by `edit`."""
    folder = tmp_path / "edited"
    done = run("edit", tiny, "--file", facts, "--out", folder, "--steps", 20, "--step", 0.3)
    assert done.code == 0, done.err
    return folder


def test_delta_says_what_was_written_and_how_to_use_it(
    run: Run, edited: Path, tmp_path: Path
) -> None:
    done = run("export", edited, "--to", "delta", "--out", tmp_path / "d")
    assert done.code == 0, done.err
    assert f"{tmp_path / 'd'}: delta, 0.0 MB" in done.out
    assert "serve it with:\n  python -c" in done.out and "apply_delta" in done.out


def exporting(edited: Path, facts: Path, out: Path) -> tuple[object, ...]:
    """The words of an export to an adapter."""
    options = ("--to", "lora", "--out", out, "--edits", facts, "--rank", 32, "--force")
    return ("export", edited, *options)


def test_lora_prints_energy_efficacy_and_the_line_to_serve_it(
    run: Run, edited: Path, facts: Path, tmp_path: Path
) -> None:
    done = run(*exporting(edited, facts, tmp_path / "a"))
    assert done.code == 0, done.err
    assert "of the energy" in done.out
    assert "of 7 edits scored" in done.out
    assert f"--enable-lora --lora-modules edited={tmp_path / 'a'} --max-lora-rank 32" in done.out


def test_json_is_one_object(run: Run, edited: Path, facts: Path, tmp_path: Path) -> None:
    done = run(*exporting(edited, facts, tmp_path / "a"), "--json")
    assert done.json["kind"] == "lora"
    assert done.json["adapter"]["rank"] == 32  # type: ignore[index]
    assert done.json["adapter"]["efficacy"]["scored"] == 7  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--to", "lora"), "name them with --edits FILE"),
        (
            ("--to", "delta", "--base", "no/such/base/anywhere"),
            "there is no folder 'no/such/base/anywhere'",
        ),
        (
            ("--to", "card", "--result", "missing.json"),
            "cannot read the result file 'missing.json'",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    run: Run, edited: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = run("export", edited, *arguments, "--out", tmp_path / "x")
    assert done.code == 2
    assert done.err.startswith("error: ") and sentence in done.err
    assert not (tmp_path / "x").exists()


def test_an_occupied_target_is_refused_before_anything_is_loaded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    done = run("export", tmp_path / "nothing", "--to", "merged", "--out", tmp_path / "out")
    assert done.code == 2
    assert "already holds something; choose another folder or pass --overwrite" in done.err


def test_an_unedited_folder_is_refused(run: Run, tiny: Path, tmp_path: Path) -> None:
    done = run("export", tiny, "--to", "merged", "--out", tmp_path / "m")
    assert done.code == 2
    assert "neither a workspace nor a folder that an edited model was saved to" in done.err


def test_a_workspace_brings_its_own_edits(
    run: Run, tiny: Path, facts: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "ws"
    assert run("init", workspace, "--model", tiny, "--steps", 8).code == 0
    assert run("edit", workspace, "--file", facts, "--turn-size", 3).code == 0
    done = run(
        "export",
        workspace,
        "--to",
        "lora",
        "--out",
        tmp_path / "a",
        "--rank",
        32,
        "--force",
        "--json",
    )
    assert done.code == 0, done.err
    assert done.json["adapter"]["efficacy"]["scored"] == 7  # type: ignore[index]
    assert run("export", workspace, "--to", "delta", "--out", tmp_path / "d").code == 0
    model, _ = load(tiny)
    apply_delta(model, tmp_path / "d")
    with Workspace.open(workspace) as opened:
        for (name, ours), theirs in zip(
            model.named_parameters(), opened.editor.model.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs), name
