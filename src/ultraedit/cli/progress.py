"""The progress bar of a stream of edits: edits/s, time left where the count is known, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ultraedit.cli.common import memory_mb
from ultraedit.cli.screen import bar_width, console

if TYPE_CHECKING:
    from collections.abc import Callable

    from ultraedit.editing.editor import WrittenTurn


@contextmanager
def edit_progress(total: int | None, quiet: bool) -> Iterator[Callable[[WrittenTurn], None]]:
    """Yields what to call after each turn.  Draws on stderr, and nothing where that is no terminal.

    `total` is the number of edits to come, None where it is not known.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = console(stderr=True)
    columns = [
        TextColumn("editing"),
        BarColumn(bar_width(screen)),
        TextColumn("{task.completed:.0f}" + ("/{task.total:.0f}" if total else "") + " edits"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True) if total else TimeElapsedColumn(),
        TextColumn("{task.fields[memory]}"),
    ]
    with Progress(*columns, console=screen, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("editing", total=total, rate="", memory="")

        def advance(written: WrittenTurn) -> None:
            bar.update(task, advance=len(written.receipts), memory=f"{memory_mb():,.0f} MB")
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.1f} edits/s" if speed else "")

        yield advance
