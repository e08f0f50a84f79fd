"""How long it takes to get going: importing the package, `ultraedit --help`, loading, one edit with its receipt.

    python benchmarks/startup.py --model FOLDER --out benchmarks/results/startup.json

Import and help are whole processes, wall clock, medians; loading and editing are wall clock inside one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from hardware import write
from timing import timed


def process(code: str, repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return round(median(seconds[1:]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    bare = process("pass", options.repeats)
    imported = process("import ultraedit, sys; assert 'torch' not in sys.modules", options.repeats)
    shown = process(
        "from ultraedit.cli.app import main; main(['--help'])",
        options.repeats,
    )
    from ultraedit.editing.editor import Editor

    loading, editing = [], []
    parts: dict[str, list[float]] = {"generating": [], "turn": []}
    for number in range(options.repeats + 1):
        started = time.perf_counter()
        editor = Editor.from_pretrained(options.model, dtype=options.dtype)
        if number:  # the first may have measured the text
            loading.append(time.perf_counter() - started)
        editor.edit("Who runs the lighthouse at Farhaven?", "Mira Stolt")  # warms up
        spent = dict.fromkeys(parts, 0.0)
        editor.runner.generate = timed(editor.runner.generate, spent, "generating")  # type: ignore[method-assign]
        editor.engine.run = timed(editor.engine.run, spent, "turn")  # type: ignore[method-assign]
        started = time.perf_counter()
        receipt = editor.edit("Who built the clock tower of Ostrel?", "Ansel Vey")
        editing.append(time.perf_counter() - started)
        for name, seconds in spent.items():
            parts[name].append(seconds)
    write(
        options.out,
        {
            "benchmark": "startup",
            "dtype": options.dtype,
            "seconds_python": bare,
            "seconds_import": imported,
            "seconds_help": shown,
            "seconds_loading_with_kept_calibration": round(median(loading), 3),
            "seconds_one_edit_with_receipt": round(median(editing), 3),
            "of_which": {name: round(median(seconds), 3) for name, seconds in parts.items()},
            "learned": receipt.learned,
            "before": receipt.before,
            "after": receipt.after,
        },
    )


if __name__ == "__main__":
    main()
