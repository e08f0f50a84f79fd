"""Streams ended by a signal in the middle of a turn.  A script: it loads torch once and forks a process for every life.

`python stopped.py FOLDER` streams a file into the workspace `ws` by the program itself, sends SIGTERM or SIGINT to it
at the k-th pass through the edited model, for many k, lets it go on, and compares the end with that of a life without.
Prints one JSON object.  FOLDER holds `ws`, its base `base` and a file `facts.jsonl`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
torch.set_num_threads(1)

import made  # noqa: E402
from crash import copy  # noqa: E402

from ultraedit.__main__ import run  # noqa: E402
from ultraedit.model.runner import local as turns  # noqa: E402
from ultraedit.workspace.store import Store  # noqa: E402

TURN = "2"


def life(folder: Path, stop_at: int, number: int, errors: Path) -> tuple[int, bool]:
    """One run of the program; its exit code, and whether the signal came."""
    came = folder / "came"
    came.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        out = os.open(os.devnull, os.O_WRONLY)
        err = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(out, 1)
        os.dup2(err, 2)
        _arm(stop_at, number, came)
        sys.argv = ["ultraedit", "edit", str(folder / "ws"), "--file", str(folder / "facts.jsonl")]
        sys.argv += ["--turn-size", TURN]
        code = 99
        try:
            run()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), came.exists()


def _arm(stop_at: int, number: int, came: Path) -> None:
    """Send the signal in the middle of the k-th look at the edited model: a turn takes several."""
    real, left = turns.trace, [stop_at]

    def watched(*arguments: object, **settings: object) -> object:
        found = real(*arguments, **settings)  # type: ignore[arg-type]
        left[0] -= 1
        if left[0] == 0:
            came.touch()
            os.kill(os.getpid(), number)
        return found

    turns.trace = watched  # type: ignore[assignment]


def main(template: Path) -> dict[str, object]:
    errors = template / "errors"
    whole = copy(template, template / "whole")
    code, _ = life(whole, 0, signal.SIGTERM, errors)
    assert code == 0, errors.read_text()
    expected = made.outcome(whole / "ws")
    stopped = in_the_middle = same = 0
    codes = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        stop_at = 0
        while True:
            stop_at += 1
            folder = copy(template, template / "life")
            code, came = life(folder, stop_at, number, errors)
            if not came:
                assert code == 0, errors.read_text()
                break
            codes.add(code)
            stopped += 1
            in_the_middle += 0 < Store.open(folder / "ws").head < 3
            assert life(folder, 0, number, errors)[0] == 0, errors.read_text()
            same += made.outcome(folder / "ws") == expected
    return {
        "stopped": stopped,
        "after_a_written_turn": in_the_middle,
        "same": same,
        "codes": sorted(codes),
        "traceback": "Traceback" in errors.read_text(),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
