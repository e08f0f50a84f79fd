"""docs/architecture.md as a test: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ultraedit"
MAX_ENTRY_LINES = 100

# folder -> folders of this package it may import, besides itself and the modules at the top
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "data": set(),
    "model": {"core"},
    "building": {"data"},
    "methods": {"core", "data", "model"},
    "evaluation": {"core", "data", "model"},
    "editing": {"core", "data", "model", "methods"},
    "workspace": {"core", "data", "model", "methods", "editing"},
    "export": {"core", "data", "model", "methods", "editing", "evaluation"},
    "bench": {"core", "data", "model", "methods", "editing", "evaluation"},
    "planning": {"core", "model", "methods", "editing"},
}
CORE_LIBRARIES = {"torch", "jaxtyping"}
HEAVY = {"torch", "transformers", "pyarrow", "datasets", "duckdb", "matplotlib", "lm_eval", "peft"}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(file: Path) -> Iterator[str]:
    """Dotted names of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            # `from ultraedit import core` names a folder in its second half
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_follow_the_architecture(file: Path) -> None:
    folder = folder_of(file)
    for name in imports_of(file):
        parts = name.split(".")
        if parts[0] != "ultraedit":
            continue
        target = parts[1] if (PACKAGE / parts[1]).is_dir() else ""
        if folder == "cli" or file.name == "__main__.py" or target in ("", folder):
            continue
        assert target != "cli", f"{file} imports {name}: nothing imports the command line"
        if folder in ALLOWED:
            assert target in ALLOWED[folder], f"{file} imports {name}"


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").rglob("*.py")), ids=lambda f: f.name)
def test_core_imports_torch_and_nothing_else(file: Path) -> None:
    for name in imports_of(file):
        top = name.split(".")[0]
        assert (
            top in CORE_LIBRARIES
            or top in sys.stdlib_module_names
            or name.startswith(("ultraedit.core", "ultraedit.errors"))
        ), f"{file} imports {name}"


def test_every_folder_has_a_rule() -> None:
    """A new folder must be written into ALLOWED and docs/architecture.md."""
    folders = {folder_of(f) for f in FILES} - {"", "cli"}
    document = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for folder in folders:
        assert folder in ALLOWED
        assert f"`{folder}/`" in document


@pytest.mark.parametrize("name", ["cli/app.py", "__main__.py"])
def test_entry_points_are_short(name: str) -> None:
    lines = len((PACKAGE / name).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_ENTRY_LINES, f"{name} has {lines} lines"


def test_importing_the_package_is_light() -> None:
    """`ultraedit --help` must not wait for torch."""
    code = f"import sys, ultraedit; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
