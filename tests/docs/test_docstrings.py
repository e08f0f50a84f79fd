"""What `import ultraedit` gives is described where it is defined, in the form that the API reference renders."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

import ultraedit
from ultraedit import Editor, Workspace, create_workspace, read_records
from ultraedit.data.record import Probe, Record
from ultraedit.editing.receipt import Receipt

CONSTANTS = {"PRESETS", "__version__"}
OBJECTS = sorted(set(ultraedit.__all__) - CONSTANTS)


def members(cls: type) -> list[str]:
    """Public methods and properties that the class itself defines."""
    kinds = (classmethod, staticmethod, property)
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))
    ]


@pytest.mark.parametrize("name", OBJECTS)
def test_public_names_have_docstrings(name: str) -> None:
    text = getattr(ultraedit, name).__doc__ or ""
    # a dataclass without a docstring gets its signature as one
    assert text.strip() and not text.startswith(f"{name}(")


def test_presets_has_a_docstring() -> None:
    module = importlib.import_module("ultraedit.methods.presets")
    tree = ast.parse(inspect.getsource(module))
    for node, following in pairwise(tree.body):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PRESETS":
            assert isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            return
    raise AssertionError("PRESETS is not defined in methods/presets.py")


@pytest.mark.parametrize(
    ("cls", "name"), [(cls, name) for cls in (Editor, Workspace) for name in members(cls)]
)
def test_members_have_docstrings(cls: type, name: str) -> None:
    value = vars(cls)[name]
    function = getattr(value, "__func__", getattr(value, "fget", value))
    assert (function.__doc__ or "").strip(), f"{cls.__name__}.{name}"


def function_of(value: object) -> Callable[..., object]:
    return getattr(value, "__func__", value)  # type: ignore[return-value]


def plain_functions() -> dict[str, Callable[..., object]]:
    """Public methods of the editor and the workspace, but properties and blocks to enter; and what makes one."""
    found: dict[str, Callable[..., object]] = {
        f"{cls.__name__}.{name}": function_of(vars(cls)[name])
        for cls in (Editor, Workspace)
        for name in members(cls)
        if not isinstance(vars(cls)[name], property) and not hasattr(vars(cls)[name], "__wrapped__")
    }
    return found | {"Editor": Editor.__init__, "create_workspace": create_workspace}


@pytest.mark.parametrize("name", plain_functions())
def test_arguments_and_results_have_sections(name: str) -> None:
    """Args names every argument, in the order of the signature; what comes back is under Returns."""
    function = plain_functions()[name]
    text = inspect.getdoc(function) or ""
    signature = inspect.signature(function)
    wanted = [p for p in signature.parameters if p not in ("self", "cls")]
    args = text.partition("Args:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^    (\w+): ", args, re.MULTILINE) == wanted
    assert ("\nReturns:\n    " in text) == (signature.return_annotation != "None")


@pytest.mark.parametrize("cls", [Record, Probe, Receipt])
def test_every_field_is_described(cls: type) -> None:
    """The string below a field is what the API reference shows beside it."""
    tree = ast.parse(Path(inspect.getfile(cls)).read_text(encoding="utf-8"))
    (body,) = [n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == cls.__name__]
    for node, following in pairwise([*body, ast.Pass()]):
        if isinstance(node, ast.AnnAssign):
            described = isinstance(following, ast.Expr) and isinstance(
                following.value, ast.Constant
            )
            assert described, f"{cls.__name__}.{ast.unparse(node.target)}"


def test_arguments_are_described_in_sections() -> None:
    """Of `read_records`: every argument, what comes back, what is raised."""
    text = inspect.getdoc(read_records) or ""
    args = text.partition("Args:\n")[2].partition("\n\n")[0]
    described = set(re.findall(r"^    (\w+): ", args, re.MULTILINE))
    assert described == set(inspect.signature(read_records).parameters)
    assert "\nReturns:\n" in text and "\nRaises:\n    DataError: " in text
