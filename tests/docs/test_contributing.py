"""Every name that CONTRIBUTING.md and the lab notes point to exists."""

from __future__ import annotations

import ast
import builtins
import re
from functools import cache
from pathlib import Path

import pytest

from ultraedit import PRESETS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ultraedit"
ELSEWHERE = {"nn.Linear", "Conv1D"}
"""Names of other libraries."""

PATH = re.compile(r"[\w./-]+/[\w./-]*|[\w-]+\.(?:py|md|toml|txt|yml)")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def in_backticks(text: str) -> list[str]:
    """What stands in single backticks outside of code blocks, each once."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(re.findall(r"`([^`\n]+)`", text)))


@cache
def defined() -> set[str]:
    """Every function, class, method, attribute, argument and constant of the package and its tests; presets.

    A member counts as `Class.member` too, and modules count by name.
    """
    names: set[str] = set(PRESETS)
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        names.add(file.stem)
        _collect(ast.parse(file.read_text(encoding="utf-8")), "", names)
    return names


def _collect(node: ast.AST, owner: str, names: set[str]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = owner
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names |= {child.name, f"{owner}.{child.name}"}
            inner = child.name if isinstance(child, ast.ClassDef) else owner
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names |= {child.id, f"{owner}.{child.id}"}
        elif isinstance(child, ast.arg):
            names.add(child.arg)
        _collect(child, inner, names)


def is_there(path: str) -> bool:
    """A path from the root of the repository or of the package."""
    return any((place / path).exists() for place in (ROOT, PACKAGE))


def unknown(text: str) -> list[str]:
    """What looks like a path or a Python name and is none."""
    found = []
    for item in in_backticks(text):
        if PATH.fullmatch(item):
            if not is_there(item):
                found.append(item)
        elif NAME.fullmatch(item) and item not in ELSEWHERE and not hasattr(builtins, item):
            package_less = item.removeprefix("ultraedit.")
            is_module = is_there(package_less.replace(".", "/")) or is_there(
                package_less.replace(".", "/") + ".py"
            )
            if item not in defined() and not is_module:
                found.append(item)
    return found


def test_the_check_sees_what_is_missing() -> None:
    text = "`no_such_function`, `core/nowhere.py`, `Editor.no_such`; `Editor.edit`, `core/turn.py`"
    assert unknown(text) == ["no_such_function", "core/nowhere.py", "Editor.no_such"]


def test_names_in_contributing_exist() -> None:
    assert unknown((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "lab").glob("*.md")), ids=lambda p: p.stem)
def test_where_a_lab_note_is_used(page: Path) -> None:
    """Each page is whole, and the code that it says it decides is there."""
    text = page.read_text(encoding="utf-8")
    if page.stem == "index":
        return
    for part in ("# ", "**Run.** ", "**Verdict.** ", "**Used in.** ", "|---|"):
        assert part in text
    assert re.search(r"^20\d\d-\d\d-\d\d$", text, re.MULTILINE), "a date"
    used = text.partition("**Used in.** ")[2]
    assert unknown(used) == []
    index = (page.parent / "index.md").read_text(encoding="utf-8")
    title = text.splitlines()[0].removeprefix("# ")
    assert f"| [{title}]({page.name}) |" in index
