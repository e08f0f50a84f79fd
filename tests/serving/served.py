"""A tiny workspace behind the whole HTTP application, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp

import tiny
from ultraedit.serving.app import build
from ultraedit.serving.keys import Keys
from ultraedit.serving.limits import Limits
from ultraedit.serving.service import Service
from ultraedit.settings import EditSettings
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.workspace import Loaded, Workspace

READ, ADMIN = "read-" + "r" * 16, "admin-" + "a" * 16
NAME = "tiny"
QUIET = HealthConfig(canary_tokens=0, reservoir_size=4, reservoir_every=2)
FACTS = [{"prompt": p, "target": t} for p, t in tiny.FACTS]


def base(folder: Path) -> Path:
    """The tiny model with a chat template, saved once."""
    if not (folder / "config.json").exists():
        model, tokenizer = loaded()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def loaded() -> Loaded:
    return tiny.llama(), tiny.tokenizer(chat=True)


def make(folder: Path, **changes: Any) -> Workspace:
    """A fresh workspace in `folder`/ws."""
    editing = {"preset": "fast", "step": 0.5, "text": tiny.TEXT}
    keeping = {"health": QUIET, "undo_window": 6}
    return create_workspace(
        folder / "ws",
        base(folder / "base"),
        EditSettings(**{k: v for k, v in (editing | changes).items() if k not in keeping}),
        keep=WorkspaceSettings(**{k: changes.get(k, v) for k, v in keeping.items()}),
        loaded=loaded(),
    )


def keys() -> Keys:
    return Keys.find(None, {"ULTRAEDIT_API_KEY": READ, "ULTRAEDIT_ADMIN_KEY": ADMIN}, public=False)


def client_of(app: ASGIApp, key: str = ADMIN) -> TestClient:
    """A client whose every request carries a key ("" for none)."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return TestClient(app, headers=headers, base_url="http://127.0.0.1")


class Served:
    """A service, its application, and a client with the admin's key."""

    def __init__(self, workspace: Workspace, limits: Limits) -> None:
        self.workspace = workspace
        self.service = Service(workspace, NAME, limits)
        self.app = build(self.service, keys())
        self.client = client_of(self.app)

    def edit(self, *facts: dict[str, Any], **headers: str) -> Any:
        return self.client.post("/edits", json={"edits": list(facts)}, headers=headers)

    def complete(self, prompt: Any, **fields: Any) -> Any:
        """The first choice of a greedy completion."""
        asked = {"model": NAME, "prompt": prompt, "temperature": 0, "max_tokens": 12} | fields
        found = self.client.post("/v1/completions", json=asked)
        assert found.status_code == 200, found.text
        return found.json()["choices"][0]

    def chunks(self, path: str, body: dict[str, Any]) -> list[Any]:
        """The parsed events of a stream, which must end as it should."""
        found = self.client.post(path, json=body)
        assert found.status_code == 200, found.text
        assert found.headers["content-type"].startswith("text/event-stream")
        return parse(found.text)


def parse(text: str) -> list[Any]:
    """The JSON of every event; the last one must be [DONE]."""
    blocks = [b for b in text.split("\n\n") if b and not b.startswith(":")]
    data = [line[6:] for b in blocks for line in b.split("\n") if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]


@contextmanager
def serving(folder: Path, limits: Limits | None = None, **changes: Any) -> Iterator[Served]:
    """A service that is ready, and over at the end."""
    with make(folder, **changes) as workspace:
        served = Served(workspace, limits or Limits())
        served.service.start()
        served.service.wait_ready(60)
        try:
            yield served
        finally:
            served.service.stop()
            assert served.service.join(60)
            assert served.service.error is None, served.service.error
