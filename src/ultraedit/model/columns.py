"""Families that number a text's tokens by the column they stand in, whatever they are told."""

from __future__ import annotations

import inspect
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from ultraedit.model.find import decoder_of
from ultraedit.model.runner.rows import pad_left, run_decoder

_known: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def counts_by_column(model: PreTrainedModel) -> bool:
    """Whether padding in front of a text changes what the model makes of it (the decoders of BART's kind): such texts
    are run together only where they are of one length.

    Only families that cannot be told positions are tried, once a model.
    """
    if model not in _known:
        told = "position_ids" in inspect.signature(decoder_of(model).forward).parameters
        _known[model] = not told and _padding_matters(model)
    return _known[model]


@torch.no_grad()
def _padding_matters(model: PreTrainedModel) -> bool:
    from ultraedit.model.check import apart  # which asks this module in turn

    texts = [[3, 5, 4], [4, 3, 5, 5, 3, 4, 5]]
    ids, mask = pad_left(texts)
    beside = run_decoder(model, ids, mask)[0, -1]
    alone = run_decoder(model, *pad_left(texts[:1]))[0, -1]
    return apart(beside, alone) is not None
