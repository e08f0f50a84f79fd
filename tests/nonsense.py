"""Values that people, programs and accidents pass: what the tests that walk every door feed to it.

The rule they hold the library to: a call works, or raises an `UltraEditError` of one sentence; a command exits with 0
or 1, or with 2 and one line that begins with "error:" (or the usage that typer prints).  No traceback, no silence.
"""

from __future__ import annotations

import io
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ultraedit.cli.app import main
from ultraedit.errors import UltraEditError

SLOW = 7


class Unprintable:
    """Fails even when an error message wants to show it."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def objects() -> list[Any]:
    """Python values of every kind that is passed by mistake; fresh ones, because some can be used up."""
    return [
        None,
        True,
        False,
        0,
        1,
        -1,
        SLOW,
        1.5,
        -0.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        10**400,
        -(10**5000),
        1 + 2j,
        b"bytes",
        bytearray(b"x"),
        "",
        " ",
        "\n\t ",
        "\ud800",
        "a\0b",
        "nonsense",
        "谁是市长 → é",
        "x" * 5000,
        "\\N{nothing} %s {}",
        [],
        ["a"],
        ["a", 1],
        [None],
        [[]],
        (),
        ("a", "b"),
        ("a", "b", "c"),
        {},
        {"prompt": "a"},
        {"prompt": 1, "target": None},
        {1: 2},
        set(),
        {"a"},
        frozenset(),
        object(),
        Unprintable(),
        [Unprintable()],
        print,
        int,
        Ellipsis,
        Path("no-such-place"),
        Path(),
        range(3),
        iter([]),
        np.float32("nan"),
        np.int64(-1),
        np.zeros(2),
        torch.tensor(1.0),
        torch.zeros(2, 2),
        torch.float16,
        torch.device("cpu"),
        io.StringIO("text"),
    ]


def shown(value: object) -> str:
    """For the name of a call."""
    try:
        return repr(value)[:60]
    except Exception:
        return f"a {type(value).__name__}"


@dataclass
class Walk:
    """Counts what was tried, and what broke the rule."""

    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(self.outcomes.values())

    def call(self, name: str, run: Callable[[], Any]) -> None:
        """One call of the library; an iterator it gives is asked for all it has."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of text that is odd, say; errors are the subject here
                given = run()
                if isinstance(given, Iterator):
                    for _ in given:
                        pass
            self.outcomes["done"] += 1
        except UltraEditError as error:
            self.outcomes["refused"] += 1
            self._judge(name, str(error))
        except Exception:
            self.outcomes["broken"] += 1
            self.broken.append(f"{name}\n{_tail()}")

    def command(self, arguments: list[str]) -> None:
        """One command line, in this process."""
        name = "ultraedit " + " ".join(a if len(a) < 60 else a[:60] + "..." for a in arguments)
        out, err = io.StringIO(), io.StringIO()
        code: object = None
        try:
            with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                main(arguments)
        except SystemExit as left:
            code = left.code or 0
        except BaseException:
            self.outcomes["broken"] += 1
            self.broken.append(f"{name}\n{_tail()}")
            return
        self.outcomes[f"exit {code}"] += 1
        said = err.getvalue()
        if code not in (0, 1, 2):
            self.broken.append(f"{name}\nexit code {code}")
        elif "Traceback" in said or (code == 2 and not said.strip()):
            self.broken.append(f"{name}\n{said}")
        elif code == 2 and not said.startswith("Usage: "):
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            if len(errors) != 1 or not said.rstrip("\n").endswith(errors[0]):
                self.broken.append(f"{name}\nsaid: {said}")
            else:
                self._judge(name, errors[0].removeprefix("error: "))

    def _judge(self, name: str, sentence: str) -> None:
        """One line that can be printed and names no internals."""
        printable = sentence.encode("utf-8", "backslashreplace").decode()
        if not sentence.strip() or "\n" in sentence or printable != sentence:
            self.broken.append(f"{name}\nsays: {sentence!r}")
        elif len(sentence) > 2000:
            self.broken.append(f"{name}\nsays {len(sentence)} characters: {sentence[:200]}")
        elif any(word in sentence for word in ("object has no attribute", "unexpected keyword")):
            self.broken.append(f"{name}\nnames an internal: {sentence}")

    def judge(self, at_least: int) -> None:
        """Fail with the first few that broke the rule."""
        assert not self.broken, f"{len(self.broken)} of {self.tried}:\n\n" + "\n\n".join(
            self.broken[:12]
        )
        assert self.tried >= at_least, f"only {self.tried} inputs were tried"


def _tail() -> str:
    return "".join(traceback.format_exc().splitlines(keepends=True)[-7:])
