"""What an edit did, as a record one can print, store or send."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Receipt:
    """One edit's outcome.  Probabilities are of the whole answer (end token left out), in [0, 1]."""

    id: str
    """The record's own id."""
    prompt: str
    """The prompt that was edited."""
    target: str
    """The answer that was written."""
    turn: int
    """1-based number of the turn that wrote it."""
    probability_before: float
    """Of the target, before the turn."""
    probability_after: float
    """Of the target, right after the turn."""
    learned: bool
    """Every answer token is the most likely one right after the turn (teacher-forced)."""
    superseded_by: str | None = None
    """Id of a later edit of the same prompt in the same turn, which was written instead."""
    line: int | None = None
    """1-based line (or row) number in the file that the record came from."""
    sentence: str | None = None
    """What was written behind the prompt, in the model's own words; None for the bare target."""
    before: str | None = None
    """The first tokens of the model's greedy answer before the edit; only `Editor.edit` generates it."""
    after: str | None = None
    """The greedy answer after the edit; only `Editor.edit` gives it."""
    seconds: float = 0.0
    """Wall time of the turn, shared by its edits."""
    moved: dict[str, float] = field(default_factory=dict)
    """Module -> size of the turn's change over the size of its original weights (Frobenius)."""

    def as_dict(self) -> dict[str, object]:
        """The fields as plain values.

        Returns:
            One entry a field, ready for JSON.
        """
        return asdict(self)

    def __str__(self) -> str:
        if self.superseded_by is not None:
            return f'"{self.prompt}" was superseded by {self.superseded_by} in the same turn'
        text = f'"{self.prompt}"'
        if self.before is not None and self.after is not None:
            text += f"\n  before: {self.before}\n  after:  {self.after}"
        if self.sentence is not None:
            text += f"\n  written: {self.sentence}"
        moved = max(self.moved.values(), default=0.0)
        return (
            f'{text}\n  p("{self.target}") {self.probability_before:.2g} -> {self.probability_after:.2g}, '
            f"{self.seconds:.2f} s, weights moved by {moved:.2g} of their size in {len(self.moved)} modules"
        )
