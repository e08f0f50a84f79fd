"""The stretches of a turn in which no stream can be answered, and where each of them ends.

Both clocks are told: seconds on the wall, which other work on the machine makes longer, and seconds of this process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from serve_common import facts, parser, tell, workspace_in
from ultraedit.data.record import Record
from ultraedit.model.runner.listener import Listener
from ultraedit.workspace.workspace import Workspace

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stretch:
    wall: float
    own: float
    end: str
    """Who handed the thread back."""


class Clock(Listener):
    """Times what lies between two moments in which a server could answer; work for the disk counts as one such."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self.start()

    def start(self) -> None:
        self._wall, self._own = time.perf_counter(), time.process_time()

    def end(self, where: str) -> None:
        self.stretches.append(
            Stretch(time.perf_counter() - self._wall, time.process_time() - self._own, where)
        )
        self.start()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        yield
        self.end(name)

    def pause(self) -> None:
        frame = sys._getframe(1)
        above = frame.f_back
        self.end(f"{frame.f_code.co_name} < {above.f_code.co_name if above else ''}")

    def meanwhile(self, work: Callable[[], Result]) -> Result:
        self.end("before the disk")
        done = work()
        self.start()
        return done


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--turn", type=int, default=10)
    given = options.parse_args()
    with (
        workspace_in(None, given.model, given.dtype) as folder,
        Workspace.open(folder, write=True) as workspace,
    ):
        workspace.watch()
        clock = workspace.editor.listener = Clock()
        rows = [Record(f["prompt"], f["target"], str(i)) for i, f in enumerate(facts(200))]
        walls = []
        for low in range(0, given.turns * given.turn, given.turn):
            began = time.perf_counter()
            clock.start()
            workspace.edit_turn(rows[low : low + given.turn])
            clock.end("the end of the turn")
            walls.append(time.perf_counter() - began)
        longest = sorted(clock.stretches, key=lambda s: -s.own)[:12]
        tell(
            {
                "turns": given.turns,
                "facts_in_a_turn": given.turn,
                "seconds_of_a_turn": walls,
                "stretches": len(clock.stretches),
                "longest": [vars(s) for s in longest],
            },
            given.out,
        )


if __name__ == "__main__":
    main()
