"""Shared by all tests: shape checks switched on, one thread, tiny models and tokenizers as fixtures."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import install_import_hook

# Shapes and types of the numerical code are checked while tests run, and only then.  Must come before its import.
# `editing.editor` is a border: its own messages for wrong arguments are tested, so nothing may come before them.
CHECKED = [
    "core",
    "methods",
    "model",
    "editing.turn",
    "editing.state",
    "editing.assemble",
    "editing.calibrate",
]
install_import_hook([f"ultraedit.{name}" for name in CHECKED], "beartype.beartype")
torch.set_num_threads(1)  # tiny matrices: a second thread only waits

from transformers import PreTrainedModel, PreTrainedTokenizerFast  # noqa: E402

import tiny  # noqa: E402


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
