"""Memory plans of the published models, with the published modules: bf16, and 4-bit frozen weights.

    python benchmarks/plan_published.py --out benchmarks/results/plan_published.json

Needs no weights; takes half a minute a plan.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ultraedit.methods.presets import method
from ultraedit.planning.configs import bundled_names, read_config
from ultraedit.planning.plan import Workload, plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=bundled_names())
    options = parser.parse_args()
    rows = []
    for name in options.models:
        for bits in (None, "4bit"):
            found = plan(
                name,
                read_config(name),
                method("default"),
                Workload(torch.bfloat16, quantize=bits),
                "paper",
            )
            rows.append(
                {
                    "model": name,
                    "quantize": bits,
                    "modules": len(found.modules),
                    "parameters": found.parameters,
                    "peak_gb": round(found.peak / 1e9, 3),
                    "moment": found.moment,
                    "parts_gb": {k: round(v / 1e9, 3) for k, v in found.parts.items()},
                }
            )
            print(json.dumps(rows[-1]), flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            scratch = options.out.with_suffix(".tmp")
            scratch.write_text(json.dumps(rows, indent=1) + "\n")
            scratch.rename(options.out)


if __name__ == "__main__":
    main()
