"""What a preset does to a tiny model, as numbers: run `python tests/golden/presets/made.py` to write them anew.

They pin what no property test does: the constants (step, LEARNED, RANK, SHRINK, the cap on values) and the order of
things in a turn.  Write them anew only where the change of a preset is meant, and say so in the changelog.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from safetensors.torch import save_file
from torch import Tensor

import tiny
from ultraedit import Editor, Record
from ultraedit.editing.warm_up import warm_up
from ultraedit.settings import EditSettings

FOLDER = Path(__file__).parent

WIDE: dict[str, Any] = {"hidden_size": 160, "intermediate_size": 48}
"""Wider than the 128 directions that whitening tells apart, so that their number matters."""

SKETCHED: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 4104,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
"""The down map takes more inputs than a dense metric may have, so the metric is a sketch."""

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "paper": (WIDE, {"preset": "paper", "step": 1e-5}),
    "stableedit": (WIDE, {"preset": "stableedit", "step": 1e-5}),
    "default": (WIDE, {"preset": "default"}),
    "thorough": (WIDE, {"preset": "thorough"}),
    "fast": (WIDE, {"preset": "fast"}),
    "steep": (WIDE, {"preset": "default", "step": 1.0, "steps": 12}),
    "sketch": (SKETCHED, {"preset": "default"}),
}
"""Name -> (changes of the model's config, settings of the editor).  The published eta does nothing to a tiny model."""

LOUD = [(prompt.upper(), target.upper()) for prompt, target in tiny.FACTS]
TURNS = (tiny.FACTS[:9], tiny.FACTS[9:], LOUD, tiny.FACTS[3:8])
"""More answer tokens than the model is wide; the last turn gives facts again that are half learned by then."""


def run(name: str) -> dict[str, Tensor]:
    """The weights' shifts and the edits' probabilities after all turns."""
    config, settings = CASES[name]
    model = tiny.llama(**config)
    names = [f"model.layers.{i}.mlp.down_proj" for i in (1, 2)]
    editor = Editor(
        model,
        tiny.tokenizer(),
        EditSettings(text=tiny.TEXT, form="raw", modules=names, **settings),
    )
    if name == "stableedit":
        warm_up(editor, [Record(p.title(), t.title()) for p, t in tiny.FACTS])
    probabilities: list[float] = []
    for facts in TURNS:
        written = editor.edit_turn([Record(*fact) for fact in facts])
        probabilities += [r.probability_after for r in written.receipts]
    found = {w.name: w.shift[:, ::8].clone() for w in editor.weights}
    return found | {"probabilities": torch.tensor(probabilities)}


def main() -> None:
    torch.set_num_threads(1)
    for name in CASES:
        save_file(run(name), FOLDER / f"{name}.safetensors")


if __name__ == "__main__":
    main()
