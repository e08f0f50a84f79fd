"""Shared by all tests: shape checks switched on, one thread, tiny models and tokenizers as fixtures."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from jaxtyping import install_import_hook

# Shapes and types of the numerical code are checked while tests run, and only then.  Must come before its import.
# `editing.editor` is a border: its own messages for wrong arguments are tested, so nothing may come before them.
CHECKED = [
    "core",
    "model",
    "methods.closed_form",
    "methods.scores",
    "editing.snapshot",
    "editing.assemble",
    "methods.calibration",
    "methods.prompt_tokens",
]
install_import_hook([f"ultraedit.{name}" for name in CHECKED], "beartype.beartype")
# A shell that runs the tests in the background has them ignore Ctrl-C, and their subprocesses would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # tiny matrices: a second thread only waits

from transformers import PreTrainedModel, PreTrainedTokenizerFast  # noqa: E402

import tiny  # noqa: E402
from ultraedit.model.smollm2 import FOLDER, cache_dir  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests keep no calibration in the user's cache and find none there; the converted SmolLM2 alone is shared."""
    base = tmp_path_factory.getbasetemp()
    own = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    model = (cache_dir() / FOLDER).absolute()
    own.mkdir(exist_ok=True)
    with suppress(FileExistsError):  # another worker was first
        (own / FOLDER).symlink_to(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTRAEDIT_CACHE", str(own))
        yield


@pytest.fixture
def tiny_model() -> PreTrainedModel:
    """A fresh tiny Llama: tests may edit it."""
    return tiny.llama()


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    return tiny.tokenizer()


@pytest.fixture(scope="session")
def chat_tokenizer() -> PreTrainedTokenizerFast:
    return tiny.tokenizer(chat=True)


@pytest.fixture(params=tiny.FAMILIES)
def family_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A fresh tiny model of each family in turn."""
    return tiny.family(request.param)
