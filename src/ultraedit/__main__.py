"""The program `ultraedit`, and `python -m ultraedit`: interrupted at any moment it cleans up and says nothing.

This module imports almost nothing, so that an interrupt while everything else is being imported finds it ready.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType


class _Stopping:
    """SIGINT and SIGTERM as KeyboardInterrupt: blocks that undo what is half done run before the process ends."""

    def __init__(self) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        raise KeyboardInterrupt

    def no_more(self) -> None:
        """What is left is Python's own end, which has nothing to undo."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def run() -> None:
    """Run the command line; always leaves through SystemExit, with 128 + the signal's number where one ended it."""
    stopping = _Stopping()
    try:
        from ultraedit.cli.app import main

        main()
    except BaseException:
        # after an interrupt any other error is its consequence: an import that broke off, say
        if stopping.number:
            stopping.no_more()
            sys.exit(128 + stopping.number)
        raise
    finally:
        stopping.no_more()


if __name__ == "__main__":  # processes that a build starts import this module
    run()
