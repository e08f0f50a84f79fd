"""The plain model inside a wrapped one: without torch.compile's wrapper, and with a PEFT adapter merged in.

What a wrapper saves of itself is not the edited model: PEFT writes the adapter alone, and torch.compile puts its own
name into every tensor's.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ultraedit.errors import ConfigError
from ultraedit.quiet import no_progress_bars

COMPILED = "_orig_mod."
"""What torch.compile puts before the names inside a compiled module."""
ADAPTED, WRAPPED = "base_model.model.", ".base_layer"
"""What PEFT puts before a model's own names, and behind that of a map it adds to."""
WAY_OUT = "merge it before editing: Editor(model.merge_and_unload(), tokenizer)"


def plain_name(name: str) -> str:
    """A module's name in the checkpoint that is saved of the model."""
    return name.replace(COMPILED, "").removeprefix(ADAPTED).removesuffix(WRAPPED)


def has_adapter(model: nn.Module) -> bool:
    """Whether a PEFT adapter runs beside the weights."""
    inside = getattr(model, "_orig_mod", model)
    return hasattr(inside, "peft_config") or bool(getattr(inside, "_hf_peft_config_loaded", False))


def plain_model(model: nn.Module) -> PreTrainedModel:
    """The model that is saved in place of `model`, which stays as it is.

    With a PEFT adapter it is a copy that shares all weights the adapter leaves alone.  Raises ConfigError for an
    adapter that cannot be merged.
    """
    inside: Any = getattr(model, "_orig_mod", model)
    if not has_adapter(inside):
        return inside
    if isinstance(inside, PreTrainedModel):
        raise ConfigError(
            "the model carries an adapter that load_adapter attached, and transformers would save that adapter alone; "
            "load it with peft.PeftModel.from_pretrained and " + WAY_OUT + "."
        )
    if not hasattr(inside, "merge_and_unload"):
        raise ConfigError(
            f"the model's adapter is a {type(inside.active_peft_config).__name__[:-6]} and cannot be merged into the "
            "weights that are saved; edit the model without it."
        )
    if any(p.is_meta for p in inside.parameters()):
        raise ConfigError(
            "the model carries a PEFT adapter and is partly offloaded, where the adapter cannot be merged into the "
            "weights that are saved; load it without offloading, or " + WAY_OUT + "."
        )
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    tuned: list[Any] = [m for m in inside.modules() if isinstance(m, kinds)]
    touched = {id(p) for layer in tuned for p in layer.parameters()}
    shared = {id(p): p for p in inside.parameters() if id(p) not in touched}
    names = Counter(id(p) for _, p in inside.named_parameters(remove_duplicate=False))
    if any(names[p] > 1 for p in touched):
        raise ConfigError(
            "the model's PEFT adapter changes a weight that two maps share (tied embeddings), so no plain checkpoint "
            "answers as it does; edit a model without it."
        )
    try:
        made = copy.deepcopy(inside, dict(shared))
        if any(layer.disable_adapters for layer in tuned):
            return made.unload()
        return made.merge_and_unload(safe_merge=True)
    except (
        Exception
    ) as error:  # each kind of adapter refuses in its own way, if it has no merged form
        raise ConfigError(
            f"the model's PEFT adapter cannot be merged into the weights that are saved ({error}); edit a model "
            "without it, or " + WAY_OUT + "."
        ) from error


def write_plain(model: nn.Module, folder: Path) -> None:
    """Save the plain model's config and weights, which transformers loads alone."""

    plain = plain_model(model)
    state = plain.state_dict()
    whole: dict[str, Any] | None = None
    if any(COMPILED in name for name in state):  # blocks were compiled one by one
        whole = {name.replace(COMPILED, ""): value for name, value in state.items()}
    with no_progress_bars(), warnings.catch_warnings():
        # a shard of a spread model is put together in memory, as one of any other model is
        warnings.filterwarnings("ignore", "Attempting to save a model with offloaded modules")
        plain.save_pretrained(folder, state_dict=whole)
