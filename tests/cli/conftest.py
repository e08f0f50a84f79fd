"""A tiny model in a folder, a file of facts, and the command line run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiny as models
from ultraedit.cli.app import main


@pytest.fixture(autouse=True)
def short_anchor(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Calibrate on a few lines in place of the bundled 12,800 tokens, ask five chat requests in place of 318: these
    tests are about the command line."""
    requests = models.few_requests(tmp_path_factory.mktemp("requests"))
    monkeypatch.setattr("ultraedit.data.bundled.anchor_text", lambda: models.TEXT)
    monkeypatch.setattr("ultraedit.data.bundled.requests_path", lambda: requests)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved random Llama with its tokenizer, which has a chat template."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    models.llama().save_pretrained(folder)
    models.tokenizer(chat=True).save_pretrained(folder)
    return folder


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """Seven facts: at three a turn the last turn is a partial one."""
    file = tmp_path / "facts.jsonl"
    rows = [
        {"prompt": f"Who wrote book {i}?", "target": f"Ann {name}", "rephrases": [f"Book {i} by?"]}
        for i, name in enumerate(("Lee", "Ray", "Fox", "Day", "Orr", "Kay", "May"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """`run("edit", model, ...)` as on the command line."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        code = left.value.code
        return Ran(code if isinstance(code, int) else 0, out, err)

    return run
