"""docs/architecture.md as a test: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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
    "io": set(),
    "data": set(),
    "model": {"core", "io"},
    "methods": {"core", "io", "data", "model"},
    "evaluation": {"core", "io", "data", "model"},
    "editing": {"core", "io", "data", "model", "methods"},
    "workspace": {"core", "io", "data", "model", "methods", "editing"},
    "export": {"core", "io", "data", "model", "methods", "editing", "evaluation"},
    "bench": {"core", "io", "data", "model", "methods", "editing", "evaluation"},
    "serving": {"core", "io", "data", "model", "methods", "editing", "workspace"},
    "pushing": {
        "core",
        "io",
        "data",
        "model",
        "methods",
        "editing",
        "evaluation",
        "workspace",
        "export",
    },
    "planning": {"core", "io", "model", "methods", "editing"},
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
BUILDER_IMPORTS = {"ultraedit.errors", "ultraedit.io", "ultraedit.quiet"}
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


RUNS_THE_MODEL = {
    "ultraedit.model.cache",
    "ultraedit.model.generate.answer",
    "ultraedit.model.generate.answer_ids",
    "ultraedit.model.generate.greedy_ids",
    "ultraedit.model.replace",
    "ultraedit.model.runner.decode",
    "ultraedit.model.runner.rows",
    "ultraedit.model.stack",
    "ultraedit.model.trace.text_keys",
    "ultraedit.model.trace.trace",
}
MAKES_THE_RUNNER = {"editing/editor.py", "planning/plan.py"}
"""They take a model apart and put the runner together; all others ask the runner."""


def runs_the_model(file: Path) -> list[str]:
    """What a file imports to run a model without asking a runner."""
    names = imports_of(file)
    return [n for n in names if n in RUNS_THE_MODEL or n.rpartition(".")[0] in RUNS_THE_MODEL]


@pytest.mark.parametrize("folder", ["methods", "editing", "workspace", "planning"])
def test_a_live_model_is_run_through_the_runner(folder: str) -> None:
    for file in sorted((PACKAGE / folder).rglob("*.py")):
        where = str(file.relative_to(PACKAGE))
        assert where in MAKES_THE_RUNNER or runs_the_model(file) == [], where


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


def module_name(file: Path) -> str:
    """`ultraedit.core.turn`; a folder's `__init__` is the folder's name."""
    base = BUILDER if file.is_relative_to(BUILDER) else PACKAGE
    parts = [base.name, *file.relative_to(base).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_with_the_module(file: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports outside functions, those for types alone included."""
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def graph_of(files: list[Path]) -> dict[str, set[str]]:
    """Module -> the modules among `files` that it imports."""
    modules = {module_name(file): file for file in files}
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        graph[name] = set()
        if name == "ultraedit":
            continue  # a table of names: nothing is imported before it is asked for
        for node in imported_with_the_module(file):
            if isinstance(node, ast.Import):
                graph[name] |= {a.name for a in node.names} & set(modules)
                continue
            for a in (
                node.names
            ):  # `from ultraedit.core import turn` names a module, or what a module holds
                whole = f"{node.module}.{a.name}"
                graph[name] |= {whole if whole in modules else str(node.module)} & set(modules)
    return graph


@pytest.mark.parametrize("package", [PACKAGE, BUILDER], ids=lambda p: p.name)
def test_there_is_no_circle_of_imports(package: Path) -> None:
    """Over all modules; imports inside functions aside."""
    graph = graph_of(sorted(package.rglob("*.py")))
    assert len(graph) > 20 and sum(map(len, graph.values())) > 2 * len(graph)
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_a_circle_of_imports_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a folder, and through an import for types alone."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "core").mkdir()
    package = tmp_path.name
    texts = {
        "a.py": f"from {package}.core import b",
        "core/b.py": f"if TYPE_CHECKING:\n    from {package}.c import thing",
        "c.py": f"def f():\n    import {package}.a",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    files = [tmp_path / name for name in texts]
    TopologicalSorter(graph_of(files)).prepare()
    (tmp_path / "c.py").write_text(f"import {package}.a")
    with pytest.raises(CycleError):
        TopologicalSorter(graph_of(files)).prepare()


def test_the_builder_has_no_circle_of_imports_inside_functions_either() -> None:
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
