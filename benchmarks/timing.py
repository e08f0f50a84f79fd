"""What the benchmarks time parts of a run with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def timed(
    run: Callable[..., Any],
    spent: dict[str, float],
    part: str,
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[..., Any]:
    """`run`, with the seconds of each call added to `spent[part]`."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = clock()
        try:
            return run(*args, **kwargs)
        finally:
            spent[part] += clock() - started

    return wrapped
