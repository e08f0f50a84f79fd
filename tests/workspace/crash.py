"""Streams that die.  A script: it loads torch once and forks a process for every life.

`python crash.py random FOLDER KILLS` kills at random moments until a stream is through, again and again;
`python crash.py points FOLDER` kills before and in the middle of every system call of a turn.
Prints one JSON object.  FOLDER holds a workspace `ws`, its base `base` and a file `facts.jsonl`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
torch.set_num_threads(1)

import made  # noqa: E402

from ultraedit.workspace.store import Store  # noqa: E402
from ultraedit.workspace.stream import stream  # noqa: E402
from ultraedit.workspace.workspace import Workspace  # noqa: E402

TURN = 2
LOADED = made.loaded()


def live(folder: Path, told: int | None = None, arm: Callable[[], None] | None = None) -> None:
    """Open and stream to the end; every acknowledged turn is told through a pipe."""
    with Workspace.open(folder / "ws", write=True, loaded=LOADED) as workspace:
        _ = workspace.editor
        if arm is not None:
            arm()
        for done in stream(workspace, folder / "facts.jsonl", turn_size=TURN):
            if told is not None:
                os.write(told, bytes([done.turn]))


def born(run: Callable[[int], None]) -> tuple[int, int]:
    """Fork a life; returns its process id and the pipe on which it tells of acknowledged turns."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            run(write)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    os.close(write)
    return pid, read


def end(pid: int, pipe: int, folder: Path) -> bool:
    """Reap a life and compare what it told with what is on disk; True if it came to its natural end."""
    _, status = os.waitpid(pid, 0)
    told = os.read(pipe, 4096)
    os.close(pipe)
    assert status in (0, signal.SIGKILL), f"a life ended with status {status}"
    head = Store.open(folder / "ws").head
    last = max(told, default=0)
    assert head >= last, f"turn {last} was acknowledged and is gone: the head is {head}"
    if told:
        assert head <= last + 1, f"the head is {head} and only {last} was acknowledged"
    return status == 0


def copy(template: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("ws", "base"):
        shutil.copytree(template / name, folder / name)
    shutil.copy(template / "facts.jsonl", folder)
    return folder


def uninterrupted(template: Path) -> tuple[dict[str, object], float]:
    folder = copy(template, template / "whole")
    started = time.perf_counter()
    pid, pipe = born(lambda told: live(folder, told))
    assert end(pid, pipe, folder)
    return made.outcome(folder / "ws"), time.perf_counter() - started


def kill_at_random(template: Path, kills: int) -> dict[str, object]:
    expected, seconds = uninterrupted(template)
    dice = random.Random(0)
    killed = lives = same = 0
    while killed < kills:
        folder = copy(template, template / "life")
        through = False
        while not through:
            pid, pipe = born(lambda told: live(folder, told))  # noqa: B023
            time.sleep(dice.uniform(0, seconds * 0.6))
            os.kill(pid, signal.SIGKILL)
            through = end(pid, pipe, folder)
            killed += not through
        lives += 1
        same += _same(folder, expected)
    return {"kills": killed, "lives": lives, "same": same}


def kill_at_points(template: Path) -> dict[str, object]:
    """Kill before (and, for writes, half-way through) the k-th call that touches the disk, for every k."""
    expected, _ = uninterrupted(template)
    points = same = 0
    for half in (False, True):
        through = False
        call = 0
        while not through:
            call += 1
            folder = copy(template, template / "life")
            pid, pipe = born(lambda told: live(folder, told, lambda: _arm(call, half)))  # noqa: B023
            through = end(pid, pipe, folder)
            if through:
                break
            points += 1
            pid, pipe = born(lambda told: live(folder, told))  # noqa: B023
            assert end(pid, pipe, folder)
            same += _same(folder, expected)
    return {"points": points, "same": same}


def _same(folder: Path, expected: dict[str, object]) -> bool:
    """Whether a life ended as the uninterrupted one; says on stderr where not."""
    found = made.outcome(folder / "ws")
    for key, value in expected.items():
        if found[key] != value:
            print(f"{key}:\n{found[key]}\nand not\n{value}", file=sys.stderr)
    return found == expected


def _arm(call: int, half: bool) -> None:
    left = [call]

    def watched(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def run(*arguments: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                if half and name == "pwrite":
                    handle, data, offset = arguments
                    real(handle, data[: len(data) // 2], offset)  # type: ignore[index]
                elif half:
                    real(*arguments)  # the call is through, its caller is not
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return run

    for name in ("fsync", "replace", "pwrite", "ftruncate"):
        setattr(os, name, watched(name))


if __name__ == "__main__":
    if sys.argv[1] == "random":
        print(json.dumps(kill_at_random(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(json.dumps(kill_at_points(Path(sys.argv[2]))))
