"""Turns on a GPU, on models of the published sizes with random weights: peak memory against the plan, and pace.

    python benchmarks/gpu.py --plans benchmarks/results/plan_published.json --out benchmarks/results/gpu.json

No weights are downloaded.  A random model learns as well, and what it has learned is left out of later steps: the pace
of `default` hangs on that, that of `fast` and `paper` (one step) does not.  With --limit-gb the allocator refuses to
hold more, as a card of that size would.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from engines import engine_on
from hardware import write
from ultraedit.methods.base import EncodedTurn
from ultraedit.methods.closed_form import Batching
from ultraedit.methods.presets import method
from ultraedit.planning.configs import bundled_names, read_config
from ultraedit.planning.plan import Workload

WORK = Workload(torch.bfloat16)
PRESETS = ("default", "fast", "paper")
TIMED = 2
"""Turns that are timed, after a first one that is not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=bundled_names())
    parser.add_argument("--plans", type=Path, required=True, help="of plan_published.py")
    parser.add_argument("--limit-gb", type=float, default=None)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    plans = {
        row["model"]: row["peak_gb"]
        for row in json.loads(options.plans.read_text())
        if row["quantize"] is None
    }
    if options.limit_gb is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(options.limit_gb * 1e9 / total)
    rows = []
    for name in options.models:
        row = measured(name) | {"planned_gb": plans[name]}
        row["planned_over_measured"] = round(row["planned_gb"] / row["default"]["peak_gb"], 3)
        rows.append(row)
        print(json.dumps(row), flush=True)
    gpu = torch.cuda.get_device_name()
    write(options.out, {"benchmark": "gpu", "gpu": gpu, "limit_gb": options.limit_gb, "rows": rows})


def measured(name: str) -> dict[str, Any]:
    settings = read_config(name)
    started = time.perf_counter()
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(settings, dtype=WORK.dtype)
    model.eval().requires_grad_(False)
    row: dict[str, Any] = {
        "model": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loaded_gb": round(torch.cuda.memory_allocated() / 1e9, 3),
        "built_in_s": round(time.perf_counter() - started, 1),
    }
    for preset in PRESETS:
        row[preset] = turns(model, preset)
        free()
    del model
    free()
    return row


def turns(model: Any, preset: str) -> dict[str, float]:
    """Peak memory from the measuring of text on, and edits a second, over turns of 100 edits."""
    how = method(preset)
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])

    def draw(count: int) -> list[int]:
        return torch.randint(0, vocabulary, (count,), generator=generator).tolist()

    torch.cuda.reset_peak_memory_stats()
    text = [draw(128) for _ in range(WORK.text_tokens // 128)]
    engine = engine_on(model, "paper", how, text, Batching(WORK.micro_batch))
    statistics = engine.start()
    prompt = WORK.tokens_per_edit - WORK.answer_tokens + 1
    seconds = []
    for _ in range(1 + TIMED):
        pairs = [(draw(prompt), draw(WORK.answer_tokens)) for _ in range(WORK.turn_size)]
        torch.cuda.synchronize()
        started = time.perf_counter()
        turn = engine.run(
            EncodedTurn(pairs, range(WORK.turn_size), [WORK.answer_tokens] * WORK.turn_size),
            statistics,
        )
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        statistics = turn.state
        del turn
    return {
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 3),
        "reserved_gb": round(torch.cuda.max_memory_reserved() / 1e9, 3),
        "edits_per_s": round(WORK.turn_size * TIMED / sum(seconds[1:]), 1),
        "forward_edits_per_s": round(WORK.turn_size / forward_seconds(model, pairs), 1),
    }


@torch.no_grad()
def forward_seconds(model: Any, pairs: list[tuple[list[int], list[int]]]) -> float:
    """A plain forward over the same tokens, in batches as large as a turn's."""
    ids = torch.tensor([p + t for p, t in pairs], device="cuda")
    decoder = model.get_decoder()
    best = float("inf")
    for _ in range(3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for part in ids.split(WORK.micro_batch):
            decoder(input_ids=part, use_cache=False)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def free() -> None:
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
