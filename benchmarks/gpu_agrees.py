"""The same edits on a processor and on a GPU, in fp32, on a tiny model of every family.

    python benchmarks/gpu_agrees.py --out benchmarks/results/gpu_agrees.json

Per family: how far the edited weights are apart; whether going back to a snapshot and editing on gives the same
bits; whether undoing everything gives the original bits.  Exits with 1 where it does not, or where weights differ by
more than 1e-3 of their change.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import tiny
from hardware import write
from ultraedit import Editor
from ultraedit.settings import EditSettings

APART = 1e-3
TURN = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    rows = [compared(family, options.device) for family in tiny.FAMILIES]
    write(options.out, {"benchmark": "gpu_agrees", "rows": rows})
    good = all(
        row["apart"] < APART and row["replayed"] and row["undone"] and row["changed"]
        for row in rows
    )
    return 0 if good else 1


def compared(family: str, device: str) -> dict[str, Any]:
    here, there = edited(family, "cpu"), edited(family, device)
    apart = max(
        float((there["shifts"][n] - s).norm() / s.norm()) for n, s in here["shifts"].items()
    )
    return {
        "family": family,
        "apart": apart,
        "changed": all(s.any().item() for s in here["shifts"].values()),
        "replayed": there["replayed"],
        "undone": there["undone"],
    }


def edited(family: str, device: str) -> dict[str, Any]:
    model = tiny.family(family).to(device)
    editor = Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    originals = [w.module.weight.detach().clone() for w in editor.weights]
    states = [editor.snapshot() for _ in editor.stream(tiny.FACTS, turn_size=TURN)]
    shifts = {w.name: w.shift.clone() for w in editor.weights}
    editor.restore(states[0])
    editor.edit_many(tiny.FACTS[TURN:], turn_size=TURN)
    replayed = all(torch.equal(w.shift, shifts[w.name]) for w in editor.weights)
    editor.reset()
    undone = all(
        torch.equal(w.module.weight, o) for w, o in zip(editor.weights, originals, strict=True)
    )
    return {
        "shifts": {n: s.cpu() for n, s in shifts.items()},
        "replayed": replayed,
        "undone": undone,
    }


if __name__ == "__main__":
    sys.exit(main())
