"""Tiny models that accelerate spread or offloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import dispatch_model
from transformers import PreTrainedModel


def offloaded(model: PreTrainedModel, folder: Path, *away: str) -> PreTrainedModel:
    """The model with hooks on all its modules and the named ones in a folder on disk, run on the CPU."""
    places: dict[str, Any] = dict.fromkeys(leaves(model), "cpu")
    for name in away:
        places = {n: p for n, p in places.items() if n != name and not n.startswith(name + ".")}
        places[name] = "disk"
    return dispatch_model(
        model, places, main_device="cpu", offload_dir=str(folder), force_hooks=True
    )


def leaves(model: PreTrainedModel) -> list[str]:
    """The blocks, and what stands beside them: names that together cover the model."""
    decoder = "model"
    found = [f"{decoder}.{n}" for n, _ in model.model.named_children() if n != "layers"]
    found += [f"{decoder}.layers.{i}" for i in range(len(model.model.layers))]
    return [*found, "lm_head"]
