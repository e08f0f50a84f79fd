"""Makes a workspace: loads the base, calibrates once, writes down everything that must stay the same."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from ultraedit import __version__, arguments
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.methods.presets import settings_of
from ultraedit.model.load import load, resolve
from ultraedit.settings import EditSettings, Loading, check_loading, check_settings
from ultraedit.workspace import tensors
from ultraedit.workspace.config import (
    BaseInfo,
    ModuleInfo,
    WorkspaceConfig,
    WorkspaceSettings,
)
from ultraedit.workspace.journal import FileRow
from ultraedit.workspace.store import Store, file_row, now, require_new_folder
from ultraedit.workspace.workspace import Loaded, Workspace


def create_workspace(
    folder: str | Path,
    model: str | Path,
    settings: EditSettings | None = None,
    *,
    keep: WorkspaceSettings | None = None,
    loading: Loading | None = None,
    loaded: Loaded | None = None,
) -> Workspace:
    """Make a workspace in a new folder and open it for writing.

    Args:
        folder: Where it is made; it must hold nothing.
        model: The base: a local folder, a hub id, or the alias "smollm2".
        settings: How the base is edited, for as long as the workspace lives; None takes all defaults.
        keep: What the workspace keeps and watches; None takes all defaults.
        loading: How the base is loaded; None takes all defaults.
        loaded: The base model and its tokenizer, already in memory.

    Returns:
        The workspace, with its model live.

    Raises:
        WorkspaceError: The folder holds something or cannot be written.
        ModelError: The model cannot be loaded, or its structure cannot be edited.
        ConfigError: A setting is of the wrong kind, out of range, or not the preset's.
    """
    settings = check_settings(settings)
    method = settings.method()  # a bad setting is told before minutes of loading
    keep = WorkspaceSettings() if keep is None else keep
    if not isinstance(keep, WorkspaceSettings):
        raise ConfigError(
            f"keep is {arguments.quoted(keep)}; give WorkspaceSettings(...), as WorkspaceSettings(undo_window=3)."
        )
    loading = check_loading(loading)
    folder = arguments.place(folder, "the workspace's folder")
    require_new_folder(folder)  # before minutes of loading
    model = arguments.model_name(model)
    chosen = arguments.names(settings.modules or method.modules)
    base_model, tokenizer = arguments.pair(loaded) or load(model, **asdict(loading), keep=chosen)
    editor = Editor(base_model, tokenizer, settings, base=str(model))

    def configure(calibration: FileRow) -> WorkspaceConfig:
        return WorkspaceConfig(
            created=now(),
            package_version=__version__,
            base=_base_info(editor, str(model), folder, loading.quantize),
            form=editor.form,
            method=settings_of(editor.method),
            modules=tuple(
                ModuleInfo(
                    name=w.name,
                    shape=(w.original.shape[0], w.original.shape[1]),
                    norm=float(w.original.double().norm()),
                )
                for w in editor.weights
            ),
            micro_batch=settings.micro_batch,
            seed=keep.seed,
            undo_window=keep.undo_window,
            health=keep.health,
            calibration=calibration,
        )

    store = Store.create(
        folder,
        configure,
        lambda path: tensors.save_calibration(path, editor.engine.calibration),
    )
    opened = Workspace(store, loaded=(base_model, tokenizer))
    opened.adopt(editor)
    return opened


def _base_info(editor: Editor, name: str, folder: Path, quantize: str | None) -> BaseInfo:
    source = Path(resolve(name))
    files = {}
    relative = False
    if source.is_dir():
        files = {file.name: file_row(file) for file in sorted(source.glob("*.safetensors"))}
    if Path(name).is_dir():
        beside = folder.resolve().parent
        relative = Path(name).resolve().is_relative_to(beside)
        name = os.path.relpath(name, folder) if relative else str(Path(name).resolve())
    return BaseInfo(
        name=name,
        relative=relative,
        revision=getattr(editor.model.config, "_commit_hash", None),
        dtype=str(editor.weights[0].original.dtype).removeprefix("torch."),
        architecture=type(editor.model).__name__,
        edited_sha256=tensors.originals_digest(editor.weights),
        files=files,
        quantize=quantize,  # type: ignore[arg-type]
    )
