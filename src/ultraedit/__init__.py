"""Edit facts into language models.  A table of public names; each is loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultraedit.lazy import lazy_names

if TYPE_CHECKING:
    from ultraedit.data.bundled import facts_path
    from ultraedit.data.read import read_records
    from ultraedit.data.record import Probe, Record
    from ultraedit.editing.editor import Answer, Editor, EditSummary, WrittenTurn
    from ultraedit.editing.receipt import Receipt
    from ultraedit.errors import (
        ConfigError,
        DataError,
        ModelError,
        NumericalError,
        ServerError,
        UltraEditError,
        WorkspaceError,
    )
    from ultraedit.methods.base import Method
    from ultraedit.methods.presets import PRESETS
    from ultraedit.settings import EditSettings
    from ultraedit.workspace.config import WorkspaceSettings
    from ultraedit.workspace.create import create_workspace
    from ultraedit.workspace.workspace import Workspace

__version__ = "0.1.0"

_HOME = {
    "PRESETS": "methods.presets",
    "Answer": "editing.outcome",
    "ConfigError": "errors",
    "DataError": "errors",
    "EditSettings": "settings",
    "EditSummary": "editing.outcome",
    "Editor": "editing.editor",
    "Method": "methods.base",
    "ModelError": "errors",
    "NumericalError": "errors",
    "Probe": "data.record",
    "Receipt": "editing.receipt",
    "Record": "data.record",
    "ServerError": "errors",
    "UltraEditError": "errors",
    "Workspace": "workspace.workspace",
    "WorkspaceError": "errors",
    "WorkspaceSettings": "workspace.config",
    "WrittenTurn": "editing.outcome",
    "create_workspace": "workspace.create",
    "facts_path": "data.bundled",
    "read_records": "data.read",
}

__all__ = [
    "PRESETS",
    "Answer",
    "ConfigError",
    "DataError",
    "EditSettings",
    "EditSummary",
    "Editor",
    "Method",
    "ModelError",
    "NumericalError",
    "Probe",
    "Receipt",
    "Record",
    "ServerError",
    "UltraEditError",
    "Workspace",
    "WorkspaceError",
    "WorkspaceSettings",
    "WrittenTurn",
    "__version__",
    "create_workspace",
    "facts_path",
    "read_records",
]


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
