"""The memory plan against what the process really takes, in a child process per model.

    python benchmarks/plan_check.py --model FOLDER --out benchmarks/results/plan_check.json

Measured: the peak of the child's resident memory (VmHWM) after loading, less its resident memory before the model was
built.  glibc is told to hand large blocks back at once, so that what is free is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hardware import write

SHAPES = {  # wider random models: (hidden, inner, blocks, heads, vocabulary)
    "random-1024": (1024, 4096, 8, 16, 32_000),
    "random-2048": (2048, 5632, 6, 32, 32_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, default=None, help="needed but in a child")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME:DTYPE")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "DTYPE"), default=None)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.model, *options.child)))
        return
    cases = [("model", "float32"), ("model", "bfloat16"), *((n, "float32") for n in SHAPES)]
    if options.only is not None:
        cases = [(name, dtype) for name, dtype in cases if f"{name}:{dtype}" in options.only]
    rows = []
    for name, dtype in cases:
        command = [sys.executable, __file__, "--model", options.model, "--child", name, dtype]
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        row = planned(options.model, name, dtype) | measured
        row["planned_over_measured"] = round(row["planned"] / row["measured"], 3)
        print(json.dumps(row), flush=True)
        rows.append(row)
    write(options.out, {"benchmark": "plan_check", "rows": rows})


def config(model: str, name: str) -> Any:
    from transformers import LlamaConfig

    from ultraedit.planning.configs import read_config

    if name == "model":
        return read_config(model)
    hidden, inner, blocks, heads, vocabulary = SHAPES[name]
    return LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        vocab_size=vocabulary,
    )


def planned(model: str, name: str, dtype: str) -> dict[str, Any]:
    from ultraedit.methods.presets import method
    from ultraedit.model.load import DTYPES
    from ultraedit.planning.plan import Workload, plan

    found = plan(name, config(model, name), method("default"), Workload(DTYPES[dtype]))
    return {
        "model": name,
        "dtype": dtype,
        "planned": found.peak,
        "moment": found.moment,
        "parts": found.parts,
    }


def child(model: str, name: str, dtype: str) -> dict[str, int]:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from engines import engine_on
    from ultraedit.methods.base import EncodedTurn
    from ultraedit.methods.closed_form import Batching
    from ultraedit.methods.presets import method
    from ultraedit.model.load import DTYPES, resolve
    from ultraedit.planning.plan import Workload

    # libraries, thread pools and the family's own code are loaded before the baseline
    small = LlamaConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1
    )
    with torch.no_grad():
        AutoModelForCausalLM.from_config(small, dtype=DTYPES[dtype])(torch.zeros(1, 4).long())
    work, how = Workload(DTYPES[dtype]), method("default", steps=2)
    settings = config(model, name)
    before = status("VmRSS")
    if name == "model":
        # without a tokenizer, which is no part of the plan
        live = AutoModelForCausalLM.from_pretrained(resolve(model), dtype=DTYPES[dtype])
        for p in live.parameters():
            p.data = p.data.clone()  # off the mapped file
    else:
        live = AutoModelForCausalLM.from_config(settings, dtype=DTYPES[dtype])
    live.eval().requires_grad_(False)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from here
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> list[int]:
        return torch.randint(0, settings.vocab_size, (count,), generator=generator).tolist()

    text = [draw(128) for _ in range(work.text_tokens // 128)]
    engine = engine_on(live, how.modules, how, text, Batching(work.micro_batch))
    prompt = work.tokens_per_edit - work.answer_tokens + 1
    turn = work.turn_size
    statistics = engine.start()
    engine.run(
        EncodedTurn(
            [(draw(prompt), draw(work.answer_tokens)) for _ in range(turn)],
            range(turn),
            [work.answer_tokens] * turn,
        ),
        statistics,
    )
    return {"measured": status("VmHWM") - before}


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
