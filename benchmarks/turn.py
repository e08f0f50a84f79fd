"""What one turn costs, as a multiple of one plain forward of the same tokens without the LM head.

    python benchmarks/turn.py --model FOLDER --data counterfact-edit.json --dtype bfloat16 --out FILE

Everything is measured in one process, the variants taking turns, and the median of `--repeats` is reported.  A turn
is measured whole, receipts' final probabilities included, and also without that last measuring pass.  On a busy
machine use one thread: times are then processor times of that thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from hardware import write
from ultraedit.data import read_records
from ultraedit.editing.assemble import assemble, encode_record
from ultraedit.editing.editor import Editor
from ultraedit.methods.presets import method
from ultraedit.model.runner.trunk_cache import TrunkCache
from ultraedit.model.trace import trace
from ultraedit.settings import EditSettings

SIZES = (10, 25, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--modules", default="model.layers.2[678].mlp.down_proj")
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    editor = Editor.from_pretrained(
        options.model,
        EditSettings(preset=method("fast", end_token=False), modules=options.modules, form="raw"),
        dtype=options.dtype,
    )
    records = [r for r, _ in zip(read_records(options.data), range(options.edits), strict=False)]
    encoded = [encode_record(r, editor.encoder, editor.context) for r in records]
    work = assemble(records, encoded, [])
    sequences = sorted((p + t[:-1] for p, t in work.pairs), key=len, reverse=True)

    @torch.no_grad()
    def plain(size: int) -> None:
        for low in range(0, len(sequences), size):
            chunk = sequences[low : low + size]
            ids = torch.zeros(len(chunk), len(chunk[0]), dtype=torch.long)
            for i, s in enumerate(chunk):
                ids[i, : len(s)] = torch.tensor(s)
            editor.model.get_decoder()(input_ids=ids, use_cache=False)

    def turn(steps: int) -> None:
        editor.engine.method = method("fast", end_token=False, steps=steps)
        editor.engine.run(work, editor.statistics)
        editor.reset()

    def measuring() -> None:
        for index, batch in enumerate(cache.batches):
            trace(editor.stack, editor.weights, batch, cache.get(index), None)

    cache = TrunkCache(editor.runner, editor.engine.batches(work.pairs), 2**30)
    one_thread = torch.get_num_threads() == 1
    clock = time.thread_time if one_thread else time.perf_counter
    runs: dict[str, Callable[[], None]] = {
        **{f"plain_{size}": (lambda size=size: plain(size)) for size in SIZES},
        "turn": lambda: turn(1),
        "turn_of_3_steps": lambda: turn(3),
        "measuring": measuring,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.repeats + 1):
        for name, run in runs.items():
            started = clock()
            run()
            if number:  # the first round warms up
                seconds[name].append(clock() - started)
    medians = {name: median(values) for name, values in seconds.items()}
    best = min(medians[f"plain_{size}"] for size in SIZES)
    step = (medians["turn_of_3_steps"] - medians["turn"]) / 2
    write(
        options.out,
        {
            "benchmark": "turn",
            "dtype": options.dtype,
            "edits": len(records),
            "tokens": sum(len(p) + len(t) for p, t in work.pairs),
            "answer_tokens": sum(len(t) for _, t in work.pairs),
            "micro_batch": editor.engine.micro_batch,
            "clock": "processor time, one thread" if one_thread else "wall clock",
            "seconds": {k: round(v, 4) for k, v in medians.items()},
            "turn_ratio": round(medians["turn"] / best, 3),
            "turn_ratio_without_measuring": round(
                (medians["turn"] - medians["measuring"]) / best, 3
            ),
            "further_step_ratio": round(step / best, 3),
        },
    )


if __name__ == "__main__":
    main()
