"""Rows of tokens through the decoder of a model, padded on either side, with a cache or without."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ultraedit.model.devices import runs_on
from ultraedit.model.find import decoder_of
from ultraedit.model.positions import first_position


def ids_device(model: PreTrainedModel) -> torch.device:
    """Where the embedding lies: inputs go there."""
    return runs_on(model.get_input_embeddings())  # type: ignore[arg-type]


def run_decoder(
    model: PreTrainedModel,
    ids: Int[Tensor, "batch length"],
    mask: Int[Tensor, "batch total"],
    cache: DynamicCache | None = None,
) -> Float[Tensor, "batch length width"]:
    """Last hidden states, after the final norm.

    mask: covers the cached tokens too; positions count its ones, so padding on either side changes nothing.  cache: one
    of `model.keeps`, filled as it goes.
    """
    decoder = decoder_of(model)
    device = ids_device(model)
    arguments: dict[str, Any] = {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "use_cache": cache is not None,
    }
    if "position_ids" in inspect.signature(decoder.forward).parameters:
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        arguments["position_ids"] = positions.to(device) + first_position(model)
    if cache is not None:
        arguments["past_key_values"] = cache
    return decoder(**arguments).last_hidden_state


def pad_right(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask [batch, longest]; padded with id 0, which the mask hides."""
    return _pad(rows, left=False)


def pad_left(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask [batch, longest], the text at the right edge, as generation needs it."""
    return _pad(rows, left=True)


def _pad(rows: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        at = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, at] = torch.tensor(row, dtype=torch.long)
        mask[i, at] = 1
    return ids, mask
