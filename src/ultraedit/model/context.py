"""How many tokens a model can take: the one place that knows."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.model.find import decoder_of
from ultraedit.model.positions import first_position

FIELDS = (
    "max_position_embeddings",  # also GPT-2's n_positions, by the config's own alias
    "max_target_positions",
    "n_positions",
    "max_seq_len",
    "max_sequence_length",
    "seq_length",
    "model_max_length",
)
"""What families call it, in the order they are believed."""

UNLIMITED = 2**31
"""Tokens of a context without a limit."""

SENTINEL = 10**9
"""From here on a tokenizer's `model_max_length` says that nobody set it."""


def context_length(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None) -> int:
    """Tokens that prompt and answer may have together; UNLIMITED where neither config nor tokenizer names a limit."""
    config = decoder_of(model).config
    for field in FIELDS:
        found = getattr(config, field, None)
        if isinstance(found, int) and found > 0:
            return found - first_position(model)
    named = getattr(tokenizer, "model_max_length", None)
    return int(named) if isinstance(named, int) and 0 < named < SENTINEL else UNLIMITED
