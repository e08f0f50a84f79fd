"""Tiny random models of real classes, and a tokenizer trained on the spot."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import trained

TEXT = """The capital of France is Paris. The capital of Italy is Rome.
Who wrote the book? The book was written by Ann Lee in 1931.
A river runs through the town; its name is the Aln.
"""
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 300 tokens with an end token and a chat template."""
    made = trained.byte_tokenizer(TEXT.splitlines())
    made.chat_template = TEMPLATE
    return made


def _llama() -> PreTrainedModel:
    return trained.small_llama(3)


def _gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=300,
            n_embd=32,
            n_layer=3,
            n_head=4,
            n_positions=128,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=1,
        )
    )


def _gemma2() -> PreTrainedModel:
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=128,
            sliding_window=8,
            initializer_range=0.3,
            final_logit_softcapping=5.0,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


@pytest.fixture(params=[_llama, _gpt2, _gemma2], ids=["llama", "gpt2", "gemma2"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """One model of each of three families: rotary, learned positions, soft-capped with a window."""
    torch.manual_seed(0)
    return request.param().eval()


@pytest.fixture
def llama() -> PreTrainedModel:
    torch.manual_seed(0)
    return _llama().eval()
