"""What a family keeps from token to token: keys and values, other things, or nothing that can be relied on."""

from __future__ import annotations

import inspect
from typing import Literal, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ultraedit.model.check import apart
from ultraedit.model.context import context_length
from ultraedit.model.find import decoder_of
from ultraedit.model.positions import first_position
from ultraedit.model.runner.rows import ids_device
from ultraedit.model.stack import FAILURES

Kept = Literal["keys and values", "other", "nothing"]

PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)

COLUMNS = 20
"""Tokens of the run on which other caches are tried: most state-space kernels and token indices are full by then."""

STEPS = 10

_known: WeakKeyDictionary[PreTrainedModel, Kept] = WeakKeyDictionary()


def kept(model: PreTrainedModel) -> Kept:
    """Keys and values where the cache's own layers say so; else by trying, once a model: do steps with the cache give
    what a run of all tokens gives?"""
    if model not in _known:
        decoder = decoder_of(model)
        layers = DynamicCache(config=decoder.config).layers
        takes = "past_key_values" in inspect.signature(decoder.forward).parameters
        plain = takes and all(type(layer) in PLAIN for layer in layers)
        _known[model] = (
            "keys and values" if plain else "other" if _steps_agree(model) else "nothing"
        )
    return _known[model]


def new_cache(model: PreTrainedModel) -> DynamicCache | None:
    """A cache for greedy decoding; None for a model that has to run all tokens again at every step."""
    if kept(model) == "nothing":
        return None
    return DynamicCache(config=decoder_of(model).config)


@torch.no_grad()
def _steps_agree(model: PreTrainedModel) -> bool:
    """Of two whole rows, and of two with one padded on the left, which may take another way through attention."""
    return all(_agree(model, padded) for padded in (0, COLUMNS // 2))


def _agree(model: PreTrainedModel, padded: int) -> bool:
    decoder = decoder_of(model)
    weight = cast(Tensor, model.get_input_embeddings().weight)
    columns = min(COLUMNS, context_length(model))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, weight.shape[0], (2, columns), generator=generator).to(ids_device(model))
    mask = torch.ones_like(ids)
    mask[1, : min(padded, columns - 1)] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0) + first_position(model)
    whole = decoder(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state
    cache = DynamicCache(config=decoder.config)
    begin = 0
    try:
        for end in range(max(columns - STEPS, 1), columns + 1):
            out = decoder(
                input_ids=ids[:, begin:end],
                attention_mask=mask[:, :end],
                position_ids=positions[:, begin:end],
                past_key_values=cache,
                use_cache=True,
            )
            if apart(out.last_hidden_state[:, -1], whole[:, end - 1]) is not None:
                return False
            begin = end
    except FAILURES:
        return False
    return True
