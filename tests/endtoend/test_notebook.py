"""The first notebook of docs/ as a reader runs it: on SmolLM2-135M-Instruct, whose outputs it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docs.notebook import run

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "01_first_edit.ipynb"


def shown() -> list[str]:
    """What the notebook shows under each code cell."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(line for output in cell["outputs"] for line in output.get("text", []))
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def after(receipt: str) -> str:
    """The answer after the edit, in a printed receipt."""
    (line,) = [line for line in receipt.splitlines() if line.startswith("  after: ")]
    return line.removeprefix("  after: ").strip()


def test_the_first_notebook_does_on_the_real_model_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTRAEDIT_MODEL", "smollm2")
    monkeypatch.chdir(tmp_path)
    said, told = run(NOTEBOOK), shown()
    assert len(said) == len(told)
    assert after(said[1]) == after(told[1]) == "Ida Krol"
    assert "Ida Krol" in said[2].splitlines()[1], "asked in other words"
    assert said[0] == said[3] == said[5], "disabled and after reset() it answers as before"
    assert "Ida Krol" not in said[0]
    assert said[4] == told[4], "the saved folder holds the files that are shown"
