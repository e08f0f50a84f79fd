"""Other `forward`s for some modules of a live model while a block of code runs, and the head alone in that way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from ultraedit.model.find import decoder_of

_NONE = object()


@contextmanager
def replaced_forwards(forwards: Mapping[nn.Module, Callable[..., object]]) -> Iterator[None]:
    """Give modules other `forward`s.

    What an instance had of its own (accelerate's hooks put one on every module) comes back on any exit; a class's
    own is uncovered again.
    """
    had = {module: module.__dict__.get("forward", _NONE) for module in forwards}
    try:
        for module, forward in forwards.items():
            module.forward = forward  # type: ignore[method-assign]
        yield
    finally:
        for module, own in had.items():
            if own is not _NONE:
                module.__dict__["forward"] = own
            else:
                module.__dict__.pop("forward", None)


class _Handed(BaseModelOutputWithPastAndCrossAttentions):
    """A decoder's output with hidden states alone: what else a family's head asks for (router logits) is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def head_logits(model: PreTrainedModel, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
    """Logits of normed hidden states, by the model's own code around a decoder that only hands them over.

    Rows are passed as a copied (n, 1, d): the models' own `logits_to_keep` slices a strided view, on which torch copies
    the whole vocabulary matrix once per batch row.  `contiguous` would hand a single row on with the strides it has.
    """

    def given(*args: object, **kwargs: object) -> _Handed:
        return _Handed(
            last_hidden_state=rows[:, None].clone(memory_format=torch.contiguous_format)  # type: ignore[arg-type]
        )

    dummy = torch.zeros(rows.shape[0], 1, dtype=torch.long, device=rows.device)
    with replaced_forwards({decoder_of(model): given}):
        return model(input_ids=dummy, use_cache=False).logits[:, 0]
