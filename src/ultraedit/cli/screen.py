"""How verbs print: prose fitted to a terminal, whole lines in a pipe, and text that any encoding can carry.

Nothing is ever cut to fit: what is too wide for the terminal is folded or laid out otherwise.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

from ultraedit.errors import UltraEditError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NAME_LEAST = 24
"""Columns that a folded name needs to be read."""

NO_LIMIT = 100_000
"""Width for what is read by a program or a file: a table then takes the room it needs and no more."""


def write_anything() -> None:
    """Let stdout and stderr write what their encoding has no character for as an escape, where they would raise.

    A model may answer anything, and a terminal or a file may be in latin-1.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a caller's own stream may have none
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def columns(stream: TextIO) -> int | None:
    """How wide the terminal behind a stream is; None where there is no terminal."""
    try:
        if not stream.isatty():
            return None
        asked = os.environ.get("COLUMNS", "")
        width = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0
        return width or os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):  # a closed stream, or one that only says it is a terminal
        return None


def console(stderr: bool = False) -> Console:
    """A console that prints text as it is: no markup, no colours guessed from the words."""
    from rich.console import Console

    width = columns(sys.stderr if stderr else sys.stdout) or NO_LIMIT
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def bar_width(screen: Console) -> int:
    """How wide a progress bar may be, so that the figures beside it are not cut."""
    return max(4, min(40, screen.width - 56))


def say(text: str, *, err: bool = False) -> None:
    """Print prose: on a terminal broken between words and indented under its first line, elsewhere line by line."""
    width = columns(sys.stderr if err else sys.stdout)
    typer.echo(text if width is None else "\n".join(fit(text, width)), err=err)


def note(text: str) -> None:
    """A line for the person at the terminal, out of the way of stdout."""
    say(text, err=True)


def refuse(sentence: str) -> NoReturn:
    """End with one line and exit code 2."""
    say(f"error: {UltraEditError(' '.join(sentence.split()))}", err=True)
    sys.exit(2)


def show_warning(message: Warning | str, category: type[Warning], *rest: Any) -> None:
    """A warning as one line for a person, without the place in the code that it came from."""
    say(f"warning: {' '.join(str(message).split())}", err=True)


def print_json(value: object) -> None:
    """One JSON object on stdout: in its own characters where stdout can write all of them, else escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value)
    typer.echo(text)


def fit(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than `width` unless it is a single word (a path, say)."""
    from rich.cells import cell_len

    lines: list[str] = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        so_far, room = "", width
        for gap, word in re.findall(r"(\s*)(\S+)", line):
            longer = so_far + gap + word
            if so_far.strip() and cell_len(longer) > room:
                lines.append(so_far)
                longer = f"{indent}  {word}"
            so_far = longer
        lines.append(so_far)
    return lines


@dataclass(frozen=True)
class ScoreTable:
    """Named rows of figures under named columns, printed side by side or, where that is too wide, one below another."""

    title: str
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    caption: str = ""

    def show(self) -> None:
        """Print to stdout, in the layout that fits."""
        from rich.measure import Measurement

        screen = console()
        table = self._side_by_side()
        # measured without a limit: a console says of everything that it fits
        boundless = screen.options.update(max_width=NO_LIMIT)
        wide = Measurement.get(screen, boundless, table).maximum
        if wide <= screen.width:
            screen.print(table)
            return
        longest = max((len(name) for name, _ in self.rows), default=0)
        left = longest - (wide - screen.width)  # what the figures leave to the names
        if left >= min(NAME_LEAST, longest):
            screen.print(self._side_by_side(left))
            return
        for line in self._one_below_another(screen.width):
            typer.echo(line)

    def _side_by_side(self, names: int | None = None) -> Table:
        """`names`: columns for the names of rows, which are folded to it."""
        from rich.table import Table

        table = Table(title_justify="left")
        table.add_column("", no_wrap=names is None, max_width=names, overflow="fold")
        for heading in self.headings:
            table.add_column(heading, justify="right", no_wrap=True)
        for name, cells in self.rows:
            table.add_row(name, *cells)
        table.title, table.caption = self.title, self.caption or None
        return table

    def _one_below_another(self, width: int) -> list[str]:
        lines = fit(self.title, width)
        headings = [" ".join(heading.split()) for heading in self.headings]
        wide = max(map(len, headings), default=0)
        for name, cells in self.rows:
            lines += fit(name, width)
            for heading, cell in zip(headings, cells, strict=True):
                lines += fit(f"  {heading:<{wide}}  {' '.join(cell.split())}", width)
        return lines + (fit(self.caption, width) if self.caption else [])
