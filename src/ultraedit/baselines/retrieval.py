"""Retrieval: the edits are kept beside the model, and the nearest ones are put into the prompt.

An upper reference, not a rival: the weights do not change, every question costs the tokens of the facts put before
it, and without the store the model knows nothing new.  Nearness is the cosine of tf-idf vectors over tokens: no second
model, no setting to tune but how many facts are put in.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.base import BaselineEditor, Needs, require_positive
from ultraedit.data.record import Record
from ultraedit.model.text import Form


@dataclass(frozen=True)
class RetrievalSettings:
    nearest: int = 4
    """Facts put before a question."""

    def __post_init__(self) -> None:
        require_positive("retrieval", nearest=self.nearest)


class Retrieval(BaselineEditor):
    """Keeps every edit as text."""

    needs = Needs(
        training="None.",
        subject="No.",
        memory="All edits so far, as text with an index, and their tokens in every prompt.",
    )

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        settings: RetrievalSettings,
    ) -> None:
        super().__init__(model, tokenizer, form, modules)
        self.settings = settings
        self._facts: dict[str, str] = {}
        self._index: dict[int, list[tuple[str, int]]] | None = None

    def edit_turn(self, records: Sequence[Record]) -> None:
        for record in records:
            self.encode(record, end_token=False)  # refuses what no method could use
            self._facts[record.prompt.strip()] = record.target.strip()
        self._index = None

    def reset(self) -> None:
        super().reset()
        self._facts, self._index = {}, None

    def recall(self, prompt: str) -> str:
        """The nearest facts as lines of "prompt target", the nearest last, then the question."""
        lines = [f"{p} {self._facts[p]}" for p in reversed(self.nearest(prompt))]
        return "\n".join([*lines, prompt])

    def nearest(self, prompt: str) -> list[str]:
        """Prompts of the nearest edits, the nearest first; those that share no token are left out."""
        if self._index is None:
            self._index = defaultdict(list)
            for fact in self._facts:
                for token, count in self._tokens(fact).items():
                    self._index[token].append((fact, count))
        norms: dict[str, float] = defaultdict(float)
        scores: dict[str, float] = defaultdict(float)
        for token, count in self._tokens(prompt).items():
            found = self._index.get(token, [])
            for fact, own in found:
                scores[fact] += count * own * self._weight(len(found))
        for fact in scores:
            for token, own in self._tokens(fact).items():
                norms[fact] += own * own * self._weight(len(self._index[token]))
        ranked = sorted(scores, key=lambda fact: (-scores[fact] / math.sqrt(norms[fact]), fact))
        return ranked[: self.settings.nearest]

    def _weight(self, holders: int) -> float:
        """Square of the inverse document frequency; above 0 even for a token that all facts share."""
        return math.log(1 + len(self._facts) / holders) ** 2

    def _tokens(self, text: str) -> Counter[int]:
        ids = self.tokenizer(" " + text.strip(), add_special_tokens=False)["input_ids"]
        return Counter(ids)  # type: ignore[arg-type]
