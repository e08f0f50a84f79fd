"""Which dtype this machine multiplies fastest: measured, because it depends on the processor and not on its name."""

from __future__ import annotations

import time

import torch

CANDIDATES = (torch.float32, torch.bfloat16)
"""float16 is left out: its range is too small for some models' activations."""

ROWS, WIDTH, INNER = 256, 576, 1536
"""The shape of a small model's MLP on a batch of prompts: about 2 ms a product."""

PROBE_ROWS, HOPELESS = 16, 10
"""A dtype that the processor has no instructions for can be 60 times slower: a small product tells it from the rest,
and the full ones are then not made."""


def fastest_dtype(device: str = "cpu", repeats: int = 7) -> torch.dtype:
    """The candidate with the shortest best time of `repeats` products; takes about 0.1 s."""
    times: dict[torch.dtype, float] = {}
    for dtype in CANDIDATES:
        probe = _best_time(dtype, device, PROBE_ROWS, 1) * ROWS / PROBE_ROWS
        hopeless = times and probe > HOPELESS * min(times.values())
        times[dtype] = probe if hopeless else _best_time(dtype, device, ROWS, repeats)
    return min(times, key=times.__getitem__)


def slow_here(dtype: torch.dtype, device: str = "cpu") -> bool:
    """Whether this machine multiplies `dtype` at least ten times slower than float32."""
    if dtype == torch.float32:
        return False
    probe = _best_time(dtype, device, PROBE_ROWS, 1)
    return probe > HOPELESS * _best_time(torch.float32, device, PROBE_ROWS, 3)


def _best_time(dtype: torch.dtype, device: str, rows: int, repeats: int) -> float:
    """Seconds of the quickest product: the least disturbed by whatever else the machine does."""
    a = torch.ones(rows, WIDTH, dtype=dtype, device=device)
    b = torch.ones(WIDTH, INNER, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(repeats + 1):  # the first product also sets things up
        start = time.perf_counter()
        float((a @ b)[0, 0])  # reading a number waits for an accelerator
        best = min(best, time.perf_counter() - start)
    return best
