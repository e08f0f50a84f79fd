"""What the Editor hands back: answers, written turns, and the sum of a stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ultraedit.editing.receipt import Receipt
from ultraedit.methods.base import TurnResult


@dataclass(frozen=True)
class Answer:
    """The model's greedy answer, and the unedited model's beside it if asked for."""

    edited: str
    original: str | None = None


@dataclass(frozen=True)
class WrittenTurn:
    """One written turn."""

    receipts: tuple[Receipt, ...]
    """One a record, in their order."""
    result: TurnResult
    """What the method did: its exact low-rank updates, probabilities, sizes."""

    @property
    def turn(self) -> int:
        """Its number, counted from 1."""
        return self.receipts[0].turn

    @property
    def in_force(self) -> bool:
        """Whether the model still holds it; a workspace may have gone back from it at once."""
        return True


@dataclass(frozen=True)
class EditSummary:
    """What a stream did.  `edits` counts every record that came in; none is ever dropped."""

    edits: int
    learned: int
    superseded: int
    turns: int
    seconds: float
    mean_probability_before: float
    mean_probability_after: float


class Tally:
    """Sums up a stream turn by turn, in constant memory."""

    def __init__(self) -> None:
        self._edits = self._learned = self._superseded = self._turns = 0
        self._before = self._after = 0.0

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Count one more turn."""
        self._turns += 1
        for receipt in receipts:
            self._edits += 1
            self._learned += receipt.learned
            self._superseded += receipt.superseded_by is not None
            self._before += receipt.probability_before
            self._after += receipt.probability_after

    def summary(self, seconds: float) -> EditSummary:
        n = max(self._edits, 1)
        return EditSummary(
            self._edits,
            self._learned,
            self._superseded,
            self._turns,
            seconds,
            self._before / n,
            self._after / n,
        )
