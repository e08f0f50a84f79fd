"""Runs a notebook's cells in this process, as Jupyter would show them.  No kernel: cells are plain Python."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells, in order."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(notebook: Path) -> list[str]:
    """Run all code cells in one namespace, in the present folder; what each printed or ended with."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    said = []
    for number, source in enumerate(code_cells(notebook), 1):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            value = _run_cell(source, f"{notebook.name}, cell {number}", scope)
        shown = "" if value is None else f"{value!r}\n"
        said.append(out.getvalue() + shown)
    return said


def _run_cell(source: str, name: str, scope: dict[str, Any]) -> object:
    """The value of the cell's last line, where that is an expression."""
    tree = ast.parse(source, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    exec(compile(tree, name, "exec"), scope)
    return None if last is None else eval(compile(last, name, "eval"), scope)
