"""docs/architecture.md as a test: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ultraedit

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ultraedit"
BUILDER = ROOT / "packages" / "ultraeditbench" / "src" / "ultraeditbench"
MAX_ENTRY_LINES = 100

# folder -> folders of this package it may import, besides itself and the modules at the top
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "data": set(),
    "model": {"core"},
    "methods": {"core", "data", "model"},
    "evaluation": {"core", "data", "model"},
    "editing": {"core", "data", "model", "methods"},
    "workspace": {"core", "data", "model", "methods", "editing"},
    "export": {"core", "data", "model", "methods", "editing", "evaluation"},
    "bench": {"core", "data", "model", "methods", "editing", "evaluation"},
    "serving": {"core", "data", "model", "methods", "editing", "workspace"},
    "planning": {"core", "model", "methods", "editing"},
}
CORE_LIBRARIES = {"torch", "jaxtyping"}
HEAVY = {
    "torch",
    "transformers",
    "pyarrow",
    "datasets",
    "duckdb",
    "matplotlib",
    "lm_eval",
    "peft",
    "fastapi",
    "uvicorn",
}
BUILDER_IMPORTS = {"ultraedit.errors", "ultraedit.quiet", "ultraedit.writable"}
BUILDER_FRONT = "cli/build.py"
"""The only file of the editor that imports the builder, and only inside a function."""

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


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_the_builder_is_imported_by_its_verb_alone(file: Path) -> None:
    named = [n for n in imports_of(file) if n.split(".")[0] == "ultraeditbench"]
    if file != PACKAGE / BUILDER_FRONT:
        assert named == []
        return
    assert named
    tree = ast.parse(file.read_text(encoding="utf-8"))
    types = [
        n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
    ]
    inside = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    for node in set(tree.body) - {*types, *inside}:
        assert "ultraeditbench" not in ast.unparse(node)


@pytest.mark.parametrize("file", sorted(BUILDER.rglob("*.py")), ids=lambda f: f.name)
def test_the_builder_imports_little_of_the_editor(file: Path) -> None:
    for name in imports_of(file):
        if name.split(".")[0] == "ultraedit":
            assert ".".join(name.split(".")[:2]) in BUILDER_IMPORTS, f"{file} imports {name}"


def test_the_builder_has_no_circle_of_imports() -> None:
    modules = {f.stem: f for f in BUILDER.glob("*.py")}
    needs = {
        stem: {
            part
            for name in imports_of(file)
            if name.split(".")[0] == "ultraeditbench"
            for part in name.split(".")[1:2]
            if part in modules
        }
        for stem, file in modules.items()
    }
    assert needs["sources"] >= {"wikidata", "statements"}  # inside functions too
    TopologicalSorter(needs).prepare()  # raises CycleError


def test_the_versions_go_together() -> None:
    """The builder asks for the editor that it was tested with, and the extra for this builder."""
    editor, builder = (
        tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for place in (ROOT, ROOT / "packages" / "ultraeditbench")
    )
    assert editor["version"] == builder["version"] == ultraedit.__version__
    assert f"ultraedit=={editor['version']}" in builder["dependencies"]
    assert f"ultraeditbench=={builder['version']}" in editor["optional-dependencies"]["build"]


def test_importing_the_package_is_light() -> None:
    """`ultraedit --help` must not wait for torch."""
    code = f"import sys, ultraedit; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
