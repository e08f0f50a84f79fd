"""The solve of one turn at Mistral-7B's widths, against the literal d x d system of the published code.

    python benchmarks/solve.py --out benchmarks/results/solve.json

Random keys and values; 300 answer tokens, 14336 inputs, 4096 outputs, metric I, ridge 1.  Both sides include writing
the update into the weight.  The literal side takes a minute and 3 GB.  Then a whole turn (one step, 100 edits of 30
tokens, 300 answer tokens) on a Mistral-shaped model of two blocks with random weights, its upper down_proj edited: the
share of the turn that the solve, and the solve and all writing of the weight, take.  Needs 6 GB.

With `--blocks 32 --dtype bfloat16` the turn is that of the whole model, the published modules edited.  Needs 17 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from engines import engine_on
from hardware import write
from timing import timed
from ultraedit.core.solve import solver
from ultraedit.methods.base import EncodedTurn
from ultraedit.methods.presets import PRESETS, method
from ultraedit.model.find import Projection
from ultraedit.model.runner.listener import Listener
from ultraedit.model.weights import EditedWeight
from ultraedit.planning.configs import read_config
from ultraedit.planning.memory_tracker import MemoryTracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--inputs", type=int, default=14336)
    parser.add_argument("--outputs", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    keys = torch.randn(options.tokens, options.inputs)
    values = torch.randn(options.tokens, options.outputs) * 1e-3
    module = torch.nn.Linear(options.inputs, options.outputs, bias=False).requires_grad_(False)
    weight = EditedWeight(Projection("w", 0, "down", options.inputs, options.outputs), module)
    one_thread = torch.get_num_threads() == 1
    clock = time.thread_time if one_thread else time.perf_counter

    ours: list[float] = []
    solve_only: list[float] = []
    for _ in range(options.repeats):
        started = clock()
        update = solver(keys, 1.0).solve(values)
        solve_only.append(clock() - started)
        weight.commit(update)
        ours.append(clock() - started)
        weight.set_shift(torch.zeros_like(weight.shift))
    memory = MemoryTracker()
    with memory:
        solver(keys, 1.0).solve(values)
    shift = update.delta()

    started = clock()
    delta = literal(keys, values)
    weight.parameter.data += delta.T
    theirs = clock() - started
    ours.sort()
    solve_only.sort()
    difference = float((shift - delta).norm() / delta.norm())
    del module, weight, update, delta, shift
    turn = turn_share(options.blocks, getattr(torch, options.dtype))
    write(
        options.out,
        {
            "benchmark": "solve",
            "tokens": options.tokens,
            "inputs": options.inputs,
            "outputs": options.outputs,
            "clock": "processor time, one thread" if one_thread else "wall clock",
            "seconds_solve": round(solve_only[len(solve_only) // 2], 4),
            "seconds_solve_and_apply": round(ours[len(ours) // 2], 4),
            "seconds_literal": round(theirs, 2),
            "times_faster": round(theirs / ours[len(ours) // 2], 1),
            "relative_difference": difference,
            "peak_bytes_of_solve": memory.peak,
            "peak_over_key_matrix": round(memory.peak / keys.nbytes, 3),
            "turn": turn,
        },
    )


def turn_share(
    blocks: int, dtype: torch.dtype, edits: int = 100, prompt: int = 28, answer: int = 3
) -> dict[str, Any]:
    """Processor seconds of one turn, and of its parts, on a model of Mistral's shape."""
    config = read_config("mistral-7b")
    config.num_hidden_layers = blocks
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.eval().requires_grad_(False)
    wanted = "paper" if blocks == 32 else [f"model.layers.{blocks - 1}.mlp.down_proj"]
    how = method(replace(PRESETS["fast"], history=False, text_weight=0.0, end_token=False))
    draw = torch.Generator().manual_seed(0)

    def ids(count: int) -> list[int]:
        return torch.randint(3, config.vocab_size, (count,), generator=draw).tolist()

    engine = engine_on(model, wanted, how, [ids(64)])
    spent: dict[str, float] = {"solve": 0.0, "write": 0.0}
    engine.runner.listener = SolveClock(spent)
    weights = engine.weights
    for w in weights:
        _ = w.norm  # of the original weight, needed once in a model's life
        w.preview = timed(w.preview, spent, "write", time.process_time)  # type: ignore[method-assign]
        w.commit = timed(w.commit, spent, "write", time.process_time)  # type: ignore[method-assign]
    pairs = [(ids(prompt), ids(answer)) for _ in range(edits)]
    started = time.process_time()
    engine.run(EncodedTurn(pairs, range(edits), [answer] * edits), engine.start())
    whole = time.process_time() - started
    return {
        "blocks": blocks,
        "dtype": str(dtype).removeprefix("torch."),
        "modules": [w.name for w in weights],
        "tokens": edits * (prompt + answer - 1),
        "seconds": round(whole, 2),
        "seconds_solve": round(spent["solve"], 3),
        "seconds_write": round(spent["write"], 3),
        "share_solve": round(spent["solve"] / whole, 4),
        "share_solve_and_write": round((spent["solve"] + spent["write"]) / whole, 4),
    }


class SolveClock(Listener):
    """Adds the processor time of the phase "solve" to `spent`."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent = spent

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        if name == "solve":
            self._spent["solve"] += time.process_time() - started


def literal(keys: Tensor, values: Tensor) -> Tensor:
    """(H'H + I)^-1 H'V as released: one d x d matrix, one general solve."""
    gram = keys.T @ keys
    gram.diagonal().add_(1.0)
    return torch.linalg.solve(gram, keys.T @ values)


if __name__ == "__main__":
    main()
