"""What kinds of model are refused before anything is tried, each by what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from ultraedit.errors import ModelError
from ultraedit.model.devices import require_held
from ultraedit.model.find import decoder_of
from ultraedit.model.weights import EditedWeight


def usable(given: nn.Module) -> PreTrainedModel:
    """The model itself where it is wrapped by `torch.compile`, which shares its weights.

    Raises ModelError for an encoder-decoder, a model without a head, and one whose weights are nowhere or can have
    no gradient.
    """
    model = cast(PreTrainedModel, getattr(given, "_orig_mod", given))
    name = type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name} is an encoder-decoder model, which answers from an encoded text; only models of a decoder alone "
            "can be edited."
        )
    if decoder_of(model) is model or model.get_output_embeddings() is None:
        raise ModelError(
            f"{name} has no language-model head, so it gives no tokens; load the checkpoint with "
            "AutoModelForCausalLM, if it holds one."
        )
    require_held(model)
    for path, parameter in model.named_parameters():
        if parameter.is_inference():
            raise ModelError(
                f"'{path}' was made inside torch.inference_mode, where nothing can be differentiated; load the model "
                "outside of it."
            )
    return model


def follow(model: PreTrainedModel, weights: Sequence[EditedWeight]) -> None:
    """`EditedWeight.follow` for all.  Raises ModelError also where an edited module is no longer in the model."""
    modules = set(model.modules())
    for w in weights:
        if w.module not in modules:
            raise ModelError(
                f"'{w.name}' was replaced by another module after the Editor took the model; make a new Editor of the "
                "model as it is now."
            )
        w.follow()
