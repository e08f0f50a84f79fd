"""Who is told what a turn is doing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import Tensor

Result = TypeVar("Result")


class Listener:
    """Hears the phases of a turn.  This one does nothing.

    A memory plan sorts by them what is allocated; a server answers its readers in the pauses.
    """

    def phase(self, name: str) -> AbstractContextManager[object]:
        """Around a phase of the turn's own arithmetic: "statistics", or "solve" for one map.

        The model is whole at its end, as in `pause`.
        """
        return nullcontext()

    def made(self, name: str, *tensors: Tensor) -> None:
        """Told what was computed: "trunk cache" or "keys and gradients"."""

    def pause(self) -> None:
        """Called between the micro-batches of a turn, and between those of a reading of its health.

        The model is whole then: no block is replaced, no adapter is in.  Its live weights may be those of a turn that
        is not finished, so readers run it in a version of theirs (`Editor.reading`).  What is raised here ends the
        turn, which leaves the model as it was.
        """

    def meanwhile(self, work: Callable[[], Result]) -> Result:
        """Do what needs no model (writing a state to disk, say), and give back what it gives.

        A server may do it on another thread and answer its readers until it is done.
        """
        return work()
