"""Makes a workspace: loads the base, calibrates once, writes down everything that must stay the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ultraedit import __version__, arguments
from ultraedit.defaults import MICRO_BATCH
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.methods.base import Method
from ultraedit.methods.presets import method, settings_of
from ultraedit.model.form import FormChoice
from ultraedit.model.load import load, resolve
from ultraedit.workspace import tensors
from ultraedit.workspace.config import (
    BaseInfo,
    HealthConfig,
    ModuleInfo,
    WorkspaceConfig,
)
from ultraedit.workspace.journal import FileRow
from ultraedit.workspace.store import Store, file_row, now, refuse_occupied
from ultraedit.workspace.workspace import Loaded, Workspace


def create_workspace(
    folder: str | Path,
    model: str | Path,
    *,
    preset: str | Method = "default",
    modules: str | Sequence[str] | None = None,
    form: FormChoice = "auto",
    step: float | None = None,
    steps: int | None = None,
    ridge: float | None = None,
    text_weight: float | None = None,
    end_token: bool | None = None,
    dtype: str = "auto",
    device: str = "cpu",
    trust_remote_code: bool = False,
    micro_batch: int = MICRO_BATCH,
    seed: int = 0,
    undo_window: int = 10,
    health: HealthConfig | None = None,
    text: str | None = None,
    loaded: Loaded | None = None,
) -> Workspace:
    """Make a workspace in a new folder and open it for writing.  Settings as in `Editor`.

    undo_window: turns whose states stay on disk, so that undo is a file read; each costs 4 bytes per edited weight
    and its low-rank pairs.  seed: of the health monitor's sample.  loaded: the base model, already in memory.
    Raises WorkspaceError where the folder holds something, ModelError and ConfigError as `Editor`.
    """
    undo_window = arguments.whole(
        undo_window, "undo_window", 0, "it is a number of turns, {least} or more"
    )
    seed = arguments.whole(seed, "seed")
    if abs(seed) >= 2**63:
        raise ConfigError(f"seed is {arguments.quoted(seed)}; it must have less than 64 bits.")
    micro_batch = arguments.whole(micro_batch, "micro_batch", 1)
    if health is not None and not isinstance(health, HealthConfig):
        raise ConfigError(f"health is {arguments.quoted(health)}; it must be a HealthConfig.")
    folder = arguments.place(folder, "the workspace's folder")
    refuse_occupied(folder)  # before minutes of loading
    model = arguments.model_name(model)
    base_model, tokenizer = arguments.pair(loaded) or load(
        model,
        dtype=arguments.dtype(dtype),
        device=arguments.device(device),
        trust_remote_code=arguments.flag(trust_remote_code, "trust_remote_code"),
    )
    editor = Editor(
        base_model,
        tokenizer,
        preset=method(
            preset,
            step=step,
            steps=steps,
            ridge=ridge,
            text_weight=text_weight,
            end_token=end_token,
        ),
        modules=modules,
        form=form,
        micro_batch=micro_batch,
        text=text,
        base=str(model),
    )

    def configure(calibration: FileRow) -> WorkspaceConfig:
        return WorkspaceConfig(
            created=now(),
            package_version=__version__,
            base=_base_info(editor, str(model), folder),
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
            micro_batch=micro_batch,
            seed=seed,
            undo_window=undo_window,
            health=health or HealthConfig(),
            calibration=calibration,
        )

    store = Store.create(
        folder,
        configure,
        lambda path: tensors.save_calibration(path, editor.engine.calibration),
    )
    opened = Workspace(
        store, device=device, trust_remote_code=trust_remote_code, loaded=(base_model, tokenizer)
    )
    opened.adopt(editor)
    return opened


def _base_info(editor: Editor, name: str, folder: Path) -> BaseInfo:
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
    )
