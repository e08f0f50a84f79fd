"""A tiny random model saved with its tokenizer, and a file of facts about nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import tiny
import trained
from ultraedit.cli.app import main

TEXT = "What is the colour of lamp number 1234567890? It is red. Who keeps it? Ann Lee keeps it."


@pytest.fixture(scope="package", autouse=True)
def short_texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The bundled texts hold 20,000 words; a tiny model with byte tokens needs a few; likewise the chat requests.

    For this folder only: with the session's scope the real model was calibrated on this text in later folders.
    """
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    text = " ".join([TEXT] * 20)
    patch.setattr("ultraedit.data.bundled.drift_text", lambda: text)
    patch.setattr("ultraedit.data.bundled.anchor_text", lambda: text)
    requests = tiny.few_requests(tmp_path_factory.mktemp("requests"))
    patch.setattr("ultraedit.data.bundled.requests_path", lambda: requests)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = trained.small_llama(4)
    tokenizer = trained.byte_tokenizer([TEXT])
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


COLOURS = ("red", "blue", "green", "black", "white")


def fact(i: int) -> dict[str, object]:
    return {
        "id": f"fact-{i}",
        "prompt": f"The colour of lamp {i} is",
        "target": COLOURS[i % 5],
        "rephrases": [f"Lamp {i} has the colour"],
        "locality": [{"prompt": f"Who keeps lamp {i + 50}?", "answer": "Ann Lee"}],
    }


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """18 facts; the one at index 3 is contradicted by the one at index 10."""
    rows = [fact(i) for i in range(18)]
    rows[10] = rows[10] | {"prompt": rows[3]["prompt"], "target": "gold"}
    path = tmp_path / "facts.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def cli(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    code = exit_.value.code
    return code if isinstance(code, int) else 0
