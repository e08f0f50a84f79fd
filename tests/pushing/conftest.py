"""A workspace of two turns beside its base, copied for each test, and fake servers that have that base."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import tiny
from cli.conftest import Ran, run
from pushing.fake import Fake, running
from ultraedit.data.record import Record
from ultraedit.settings import EditSettings
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.marks import set_mark

__all__ = ["run"]

LEARNED = EditSettings(
    modules="*mlp.*", step=0.1, steps=12, text_weight=0.0, end_token=False, text=tiny.TEXT
)
"""An adapter is measured on edits that the model answers right, so the tiny model must learn them."""
Up = Callable[..., Any]
Push = Callable[..., Ran]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base/ and ws/, which stands at turn 2 and has turn 1 marked "first"."""
    folder = tmp_path_factory.mktemp("pushing")
    model, tokenizer = tiny.llama(), tiny.tokenizer(chat=True)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    quiet = WorkspaceSettings(health=HealthConfig(canary_tokens=0, reservoir_every=0))
    with create_workspace(
        folder / "ws", folder / "base", LEARNED, keep=quiet, loaded=(model, tokenizer)
    ) as workspace:
        for low in (0, 4):
            facts = tiny.FACTS[low : low + 4]
            turn = workspace.edit_turn([Record(p, t, f"fact-{p}") for p, t in facts])
            assert all(receipt.learned for receipt in turn.receipts)
            if low == 0:
                set_mark(workspace.store, "first")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and few chat requests to ask about other things."""
    requests = tiny.few_requests(tmp_path)
    monkeypatch.setattr("ultraedit.data.bundled.requests_path", lambda: requests)
    # one token a byte, and no answer is longer than its target in what it tells
    monkeypatch.setattr("ultraedit.pushing.questions.TOKENS", 6)
    monkeypatch.setattr("ultraedit.export.measure.TOKENS", 6)
    shutil.copytree(made / "ws", tmp_path / "ws")
    shutil.copytree(made / "base", tmp_path / "base")
    return tmp_path


@pytest.fixture
def up(place: Path) -> Iterator[Up]:
    """Start a fake: `up(Vllm, dev=True)`; `other` gives it another model than the workspace's base."""
    with ExitStack() as stack:

        def start(kind: type[Fake], *, other: bool = False, **more: Any) -> Fake:
            base = place / "base"
            if other:
                base = place / "other"
                tiny.build(tiny.llama().config, seed=7).save_pretrained(base)
                tiny.tokenizer(chat=True).save_pretrained(base)
            return stack.enter_context(running(kind(base, **more)))

        yield start


@pytest.fixture
def push(run: Callable[..., Ran], place: Path) -> Push:
    """`push(server, "--at", "first")` as on the command line."""

    def push(server: Fake, *options: object) -> Ran:
        return run("push", place / "ws", server.url, "--check", "4", *options)

    return push
