"""Small workspaces on a tiny model, and what of one must be the same bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

import tiny
from ultraedit.data.record import Record
from ultraedit.settings import EditSettings
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.store import Store
from ultraedit.workspace.workspace import Loaded, Workspace

QUIET = HealthConfig(canary_tokens=0, reservoir_size=4, reservoir_every=2)
"""Little to compute: no canary."""
VOLATILE = {"time", "seconds", "previous", "digest"}
"""What may differ between two journals of the same edits."""


FAMILY = "TINY_FAMILY"
"""Environment variable that names another family, for scripts too."""


def model() -> PreTrainedModel:
    return tiny.family(os.environ.get(FAMILY, "llama"))


def base(folder: Path) -> Path:
    """Save the tiny model, once; what is loaded from there is `loaded()` to the bit."""
    if not (folder / "config.json").exists():
        model().save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
    return folder


def loaded() -> Loaded:
    return model(), tiny.tokenizer()


def make(folder: Path, **changes: Any) -> Workspace:
    """A fresh workspace in `folder`/ws, its base beside it."""
    settings: dict[str, Any] = {"preset": "fast", "step": 0.5, "text": tiny.TEXT}
    keep: dict[str, Any] = {"health": QUIET, "undo_window": 3}
    other: dict[str, Any] = {"loaded": loaded()}
    for name, value in changes.items():
        of_the_edit = name in EditSettings.__dataclass_fields__
        kept = name in WorkspaceSettings.__dataclass_fields__
        (settings if of_the_edit else keep if kept else other)[name] = value
    return create_workspace(
        folder / "ws",
        base(folder / "base"),
        EditSettings(**settings),
        keep=WorkspaceSettings(**keep),
        **other,
    )


def reopen(workspace: Workspace, *, write: bool = True) -> Workspace:
    workspace.close()
    return Workspace.open(workspace.store.folder, write=write, loaded=loaded())


def records(low: int = 0, high: int = len(tiny.FACTS)) -> list[Record]:
    return [Record(p, t, id=f"fact-{i}") for i, (p, t) in enumerate(tiny.FACTS)][low:high]


def facts_file(folder: Path, count: int = len(tiny.FACTS)) -> Path:
    path = folder / "facts.jsonl"
    rows = [{"prompt": p, "target": t} for p, t in tiny.FACTS[:count]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fill(workspace: Workspace, turns: int = 4, size: int = 3) -> None:
    """`turns` turns of `size` edits each."""
    for k in range(turns):
        workspace.edit_turn(records(k * size, (k + 1) * size))


def outcome(folder: Path) -> dict[str, Any]:
    """All of a workspace that two runs of the same edits must share: tensor files and the journal."""
    store = Store.open(folder)
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("states", "pairs")
        for path in sorted((folder / name).iterdir())
    }
    lines = (folder / "journal.jsonl").read_text().splitlines()
    journal = [
        {key: value for key, value in json.loads(line).items() if key not in VOLATILE}
        for line in lines
    ]
    return {"head": store.head, "files": files, "journal": journal, "marks": store.history.marks}
