"""Draws docs/img/bench.svg from a benchmark's result.json: every preset at one checkpoint beside the unedited model.

ultraedit bench smollm2 --data FILE ... --out runs/zsre && python docs/img/bench.py runs/zsre/result.json 1000
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

BARS = {
    "efficacy.token_accuracy": "edits:\nanswer tokens",
    "efficacy.generated_exact": "edits:\nfree answer",
    "generalization.token_accuracy": "rephrased:\nanswer tokens",
    "generalization.generated_exact": "rephrased:\nfree answer",
    "locality.token_accuracy": "unrelated:\ngold tokens",
}


COLOURS = ("#e69f00", "#0072b2", "#009e73", "#cc79a7")


def main(source: str, edits: int) -> None:
    result = json.loads(Path(source).read_text(encoding="utf-8"))
    runs = [run for run in result["runs"] if run["order"] == 0]
    width = 0.8 / (len(runs) + 1)
    plt.rcParams.update({"svg.hashsalt": "ultraedit", "font.size": 10, "svg.fonttype": "none"})
    picture, axes = plt.subplots(figsize=(7.6, 3.2), layout="constrained")
    rows = [("unedited", result["unedited"]["figures"], "#9aa0a6")]
    for run, colour in zip(runs, COLOURS, strict=False):
        point = next(c for c in run["checkpoints"] if c["edits"] == edits)
        rows.append((f"{run['preset']}, {edits:,} edits", point["figures"], colour))
    for number, (label, figures, colour) in enumerate(rows):
        shift = (number - (len(rows) - 1) / 2) * width
        values = [figures[name]["value"] for name in BARS]
        low = [v - figures[name]["low"] for v, name in zip(values, BARS, strict=True)]
        high = [figures[name]["high"] - v for v, name in zip(values, BARS, strict=True)]
        places = [i + shift for i in range(len(BARS))]
        axes.bar(places, values, width, yerr=[low, high], label=label, color=colour, capsize=3)
    axes.set_xticks(range(len(BARS)), list(BARS.values()))
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("share right, 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 1.0))
    target = Path(__file__).with_name("bench.svg")
    picture.savefig(target, metadata={"Date": None})
    print(target)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
