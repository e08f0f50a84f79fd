"""A long stream of edits into a workspace: does its pace or its memory change, and what does keeping it cost?

    python benchmarks/stream.py --model smollm2 --data a.json b.json --edits 20000 --out benchmarks/results/stream.json

Records are taken from the files in turn until there are enough; a file that ends starts again, its targets moved on
by one record, so that every row is news to the model.  Reported: edits per second of the last `--window` edits over
the first, by processor time of this process and by the clock; resident memory after each turn behind the first
window, its spread over its mean; and the share of the time that goes into statistics and metric on the one hand, and
into state, pairs, journal and health readings on the other.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hardware import write
from timing import timed
from ultraedit.editing.memory import bound_kernel_caches
from ultraedit.settings import EditSettings, Loading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--edits", type=int, default=20_000)
    parser.add_argument("--turn-size", type=int, default=100)
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--folder", type=Path, default=None, help="scratch space; left empty")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    bound_kernel_caches()
    if options.edits < 2 * options.window or options.window % options.turn_size:
        parser.error(
            f"--edits {options.edits} must hold two windows of {options.window}, and a window whole turns of "
            f"{options.turn_size}."
        )
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        write(options.out, {"benchmark": "stream"} | measure(options, Path(scratch)))


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    from ultraedit import create_workspace
    from ultraedit.methods.ultraedit import UltraEditState
    from ultraedit.workspace.health import Monitor
    from ultraedit.workspace.stream import stream
    from ultraedit.workspace.workspace import Workspace

    spent: dict[str, float] = defaultdict(float)
    # parts do not nest: a turn's engine, the monitor and the writing of files come one after another
    for owner, name, part in (
        (UltraEditState, "observe", "statistics"),
        (UltraEditState, "remember", "statistics"),
        (Monitor, "read", "health"),
        (Workspace, "describe", "journal"),
    ):
        setattr(owner, name, timed(getattr(owner, name), spent, part, time.process_time))
    ticks: list[tuple[float, float]] = []
    resident: list[int] = []
    learned = 0
    with create_workspace(
        scratch / "workspace",
        options.model,
        EditSettings(preset=options.preset),
        loading=Loading(options.dtype),
    ) as made:
        made.store.commit = timed(made.store.commit, spent, "journal", time.process_time)  # type: ignore[method-assign]
        ticks.append((time.perf_counter(), time.process_time()))
        for done in stream(made, rows(options.data, options.edits), turn_size=options.turn_size):
            ticks.append((time.perf_counter(), time.process_time()))
            resident.append(resident_bytes())
            learned += sum(r.learned for r in done.receipts)
            if len(resident) % 10 == 0:
                print(f"{len(resident) * options.turn_size:,} edits", flush=True)
    turns = options.window // options.turn_size
    later = resident[turns:]
    whole = ticks[-1][1] - ticks[0][1]
    return {
        "preset": options.preset,
        "dtype": options.dtype,
        "edits": options.edits,
        "turn_size": options.turn_size,
        "window": options.window,
        "learned": round(learned / options.edits, 4),
        "edits_per_second": round(options.edits / (ticks[-1][0] - ticks[0][0]), 3),
        "last_window_over_first": {
            name: round((ticks[turns][i] - ticks[0][i]) / (ticks[-1][i] - ticks[-1 - turns][i]), 3)
            for i, name in enumerate(("clock", "processor"))
        },
        "resident_gib": [round(r / 2**30, 4) for r in thin(resident)],
        "resident_spread": round((max(later) - min(later)) / (sum(later) / len(later)), 4),
        "share_of_processor_time": {k: round(v / whole, 4) for k, v in sorted(spent.items())},
    }


def rows(paths: Sequence[str], count: int) -> Iterator[dict[str, str]]:
    """`count` prompts and targets.  On the n-th round through the files a prompt gets the target n records on."""
    from ultraedit.data import read_records

    facts = [(r.prompt, r.target) for p in paths for r in read_records(p, strict=False)]
    for number in range(count):
        lap, at = divmod(number, len(facts))
        yield {"prompt": facts[at][0], "target": facts[(at + lap) % len(facts)][1]}


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def thin(values: Sequence[int], most: int = 50) -> list[int]:
    """At most `most` of the values, evenly, the last among them."""
    step = -(-len(values) // most)
    return list(itertools.islice(reversed(values), 0, None, step))[::-1]


if __name__ == "__main__":
    main()
