"""What number a family gives to the first token of a text."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn
from transformers import PreTrainedModel

from ultraedit.model.find import decoder_of

_known: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


def first_position(model: PreTrainedModel) -> int:
    """0, or what lies behind the row for padding where a table of positions has one (the RoBERTa kinds)."""
    decoder = decoder_of(model)
    if decoder not in _known:
        _known[decoder] = _first_position(decoder)
    return _known[decoder]


def _first_position(decoder: PreTrainedModel) -> int:
    words = decoder.get_input_embeddings()
    rows = getattr(decoder.config, "max_position_embeddings", None)
    for module in decoder.modules():
        if not isinstance(module, nn.Embedding) or module is words:
            continue
        if module.padding_idx is not None and module.num_embeddings == rows:
            return module.padding_idx + 1
    return 0
