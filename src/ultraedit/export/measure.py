"""How many edits a model answers right, how many of them an adapter keeps, and how many answers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ultraedit.data.record import Record
from ultraedit.evaluation.scorer import ModelScorer
from ultraedit.evaluation.text import TokenPair
from ultraedit.export.adapter import Adapter, attached
from ultraedit.export.edited import Edited
from ultraedit.model.generate import answer
from ultraedit.model.text import PromptEncoder

SCORED = 500
"""Edits scored at most, evenly spaced over the history: a share of 0.9 is then known to about 0.03."""
ASKED = 40
"""Edits asked in free generation at most, evenly spaced too."""
TOKENS = 32
"""Length to which those answers are compared: as long as `ultraedit ask` answers."""


@dataclass(frozen=True)
class Efficacy:
    """Edits answered right: every answer token is the most likely one given those before it."""

    scored: int
    live: int
    """By the live edited model."""
    exported: int
    """By the unedited weights with the adapter read back from its file."""
    both: int
    asked: int
    """Edits asked in free generation."""
    same: int
    """Of those, greedy answers that are the live model's to the letter."""

    @property
    def kept(self) -> float:
        """Share of the edits the live model answers right that the adapter answers right too; 0 if there are none."""
        return self.both / self.live if self.live else 0.0


class ScoredEdits:
    """The edits to score, asked of the live model once."""

    def __init__(self, edited: Edited, records: Sequence[Record]) -> None:
        """Of several edits of one prompt only the last is scored: it replaced the others."""
        last = list({r.prompt.strip(): r for r in records}.values())
        chosen = _spaced(last, SCORED)
        self._edited = edited
        self._scorer = ModelScorer(edited.model)
        encoder = PromptEncoder(edited.tokenizer, edited.form)
        pairs = [encoder.pair(r.prompt, r.target) for r in chosen]
        self._pairs = [TokenPair(tuple(prompt), tuple(target)) for prompt, target in pairs]
        self._prompts = [r.prompt for r in _spaced(last, ASKED)]
        self._live = self._right()
        self._answers = self._answer()

    @property
    def live(self) -> int:
        return sum(self._live)

    @property
    def asked(self) -> int:
        return len(self._prompts)

    def same(self, adapter: Adapter) -> int:
        """Answers of the unedited weights with `adapter` that are the live model's."""
        with self._edited.disable_edits(), attached(self._edited.model, adapter):
            found = self._answer()
        return sum(a == b for a, b in zip(found, self._answers, strict=True))

    def score(self, adapter: Adapter) -> Efficacy:
        """The unedited weights with `adapter` attached."""
        with self._edited.disable_edits(), attached(self._edited.model, adapter):
            found = self._right()
        both = sum(a and b for a, b in zip(self._live, found, strict=True))
        live, exported = sum(self._live), sum(found)
        return Efficacy(len(found), live, exported, both, self.asked, self.same(adapter))

    def _right(self) -> list[bool]:
        return [s.exact for s in self._scorer.score(self._pairs)] if self._pairs else []

    def _answer(self) -> list[str]:
        e = self._edited
        return answer(e.model, e.tokenizer, self._prompts, e.form, TOKENS)


def _spaced(records: Sequence[Record], most: int) -> list[Record]:
    n = min(len(records), most)
    return [records[i * len(records) // n] for i in range(n)]
