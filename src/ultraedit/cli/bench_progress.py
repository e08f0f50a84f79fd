"""The progress of a benchmark on a terminal: which run, edits/s, time left, memory.  Quiet elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ultraedit.cli.screen import bar_width, console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ultraedit.bench.store import TurnPoint


class Watcher:
    """An `ultraedit.bench.bench.Observer` over a rich progress bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None, what="")

    def stage(self, text: str) -> None:
        self._bar.update(self._task, what=text)

    def run(self, label: str, order: int, edits: int) -> None:
        name = label if order == 0 else f"{label}, order {order}"
        self._bar.reset(self._task, total=edits, description=name, what="editing")

    def turn(self, point: TurnPoint) -> None:
        memory = point.resident_bytes / 1e6
        self._bar.update(
            self._task,
            completed=point.edits,
            what=f"{point.edits_per_second:,.1f} edits/s, {memory:,.0f} MB",
        )


@contextmanager
def watching(quiet: bool) -> Iterator[Watcher]:
    """Draws on stderr, and nothing where that is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width(screen)),
        TextColumn("{task.completed:.0f} edits"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[what]}"),
    ]
    with Progress(*columns, console=screen, disable=quiet or not screen.is_terminal) as bar:
        yield Watcher(bar)
