"""Where the parts of a model run that accelerate spread over devices or offloaded, and what it holds elsewhere.

A dispatched model has a hook on every module, which brings inputs to the module's device and, where the module is
offloaded, its weights out of CPU memory or a file for the time of the call; between calls they are on meta.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ultraedit.errors import ModelError


def runs_on(module: nn.Module) -> torch.device:
    """Where a module's own code runs: where its first parameter lies, or its hook brings that to."""
    parameter = next(module.parameters())
    if not parameter.is_meta:
        return parameter.device
    for part in module.modules():
        if next(part.parameters(), None) is not parameter:
            break
        hook = _offloading(part)
        if hook is not None:
            place = hook.execution_device
            return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)
    return parameter.device


def is_spread(model: nn.Module) -> bool:
    """Whether accelerate moves inputs or weights of the model about."""
    return hasattr(model, "_hf_hook") or hasattr(model, "hf_device_map")


def require_held(model: nn.Module) -> None:
    """Raise ModelError for a weight that is neither in memory nor anywhere that accelerate would bring it from."""
    under = {""} if _offloading(model) is not None else set()
    for path, module in model.named_modules():
        parent = path.rpartition(".")[0]
        if _offloading(module) is not None or (path and parent in under):
            under.add(path)
            continue
        for name, parameter in module.named_parameters(path, recurse=False):
            if parameter.is_meta:
                raise ModelError(
                    f"'{name}' is not in memory but on the meta device, and nothing brings it from there; load the "
                    "model whole, or let accelerate offload it (device_map)."
                )


def held_parameters(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Every parameter by name, those that are offloaded from where they lie, one at a time."""
    for name, parameter in model.named_parameters():
        yield name, (offloaded(model, name) if parameter.is_meta else parameter)


def offloaded(model: PreTrainedModel, name: str) -> Tensor:
    """An offloaded parameter, from CPU memory or its file."""
    from transformers.integrations.accelerate import load_offloaded_parameter

    return load_offloaded_parameter(model, name)


def pinned(name: str) -> str:
    """Of a module in a numbered block, the block: what a device map is to name."""
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else name


def _offloading(module: nn.Module) -> Any:
    """The hook that brings a module's weights for each call, if it has one."""
    hook = getattr(module, "_hf_hook", None)
    for one in getattr(hook, "hooks", (hook,)):
        if getattr(one, "offload", False) and hasattr(one, "execution_device"):
            return one
    return None
