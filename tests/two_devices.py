"""Edits tiny models whose blocks lie on two devices, and prints how they compare, for `test_devices.py`.

A process of its own: a second device cannot be taken back, and has to be there before the first gradient.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch
from accelerate import dispatch_model
from torch import Tensor
from transformers import PreTrainedModel

import tiny
from dispatched import leaves
from second_device import Placed, plugged
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.model import stack
from ultraedit.settings import EditSettings

PRESETS = ("thorough", "paper")
"""The one that does all that `default` does and more, and the one whose statistics are pooled over maps."""
MODULES = ("model.layers.1.mlp.down_proj", "model.layers.2.mlp.down_proj")
"""One on each device."""
TURNS = [[Record(*fact) for fact in tiny.FEW], [Record(*fact) for fact in tiny.FACTS[4:6]]]


def model() -> PreTrainedModel:
    made = tiny.llama()
    made.set_attn_implementation("eager")  # the fused ones choose their way by the device
    return made


def halved(whole: PreTrainedModel, low: Any, high: Any) -> PreTrainedModel:
    """The upper two blocks and the head on another device than the rest."""
    upper = ("model.layers.2", "model.layers.3", "model.norm", "lm_head")
    places = {name: high if name in upper else low for name in leaves(whole)}
    return dispatch_model(whole, places, main_device="cpu", force_hooks=True)


def edited(some: PreTrainedModel, preset: str) -> Editor:
    settings = EditSettings(preset=preset, text=tiny.TEXT, form="raw", modules=MODULES)
    editor = Editor(some, tiny.tokenizer(), settings)
    for turn in TURNS:
        editor.edit_turn(turn)
    back = editor.engine.load_state_dict(
        {name: _plain(value) for name, value in editor.statistics.state_dict().items()}
    )
    editor.statistics = back  # a state from a file goes on as well
    editor.edit_turn(TURNS[0][:1])
    return editor


def _plain(value: Tensor) -> Tensor:
    return value.held if isinstance(value, Placed) else value


def main() -> None:
    models = {preset: [model() for _ in range(3)] for preset in PRESETS}
    found: dict[str, Any] = {}
    with plugged() as chip:
        for preset, (whole, first, second) in models.items():
            wanted = edited(whole, preset)
            for some, places in ((first, ("cpu", chip)), (second, (chip, "cpu"))):
                e = edited(halved(some, *places), preset)
                apart = [
                    float((_plain(a.parameter.detach()) - b.parameter.detach()).abs().max())
                    for a, b in zip(e.weights, wanted.weights, strict=True)
                ]
                devices = [str(w.parameter.device) for w in e.weights]
                prompt = TURNS[0][0].prompt
                found[", ".join([preset, *devices])] = {
                    "devices": devices,
                    "apart": max(apart),
                    "answers": e.ask(prompt, compare=True) == wanted.ask(prompt, compare=True),
                    "hooks": all("forward" in block.__dict__ for block in some.model.layers),
                }
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    stack.GPU_TRUNK_TOKENS = (
        stack.TRUNK_TOKENS
    )  # the same rows together, so that bits can be compared
    main()
