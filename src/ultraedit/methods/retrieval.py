"""Retrieval: the edits are kept beside the model, and the nearest ones are put into the prompt.

An upper reference, not a rival: the weights do not change, every question costs the tokens of the facts put before
it, and without the store the model knows nothing new.  Nearness is the cosine of tf-idf vectors over tokens: no second
model, no setting to tune but how many facts are put in.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ultraedit.methods.base import (
    EncodedTurn,
    LiveModel,
    Method,
    Needs,
    PlainEngine,
    State,
    TurnResult,
    require_positive,
)
from ultraedit.methods.scores import measure


@dataclass(frozen=True)
class Retrieval(Method):
    nearest: int = 4
    """Facts put before a question."""

    writes_weights: ClassVar[bool] = False

    stated_needs: ClassVar[Needs] = Needs(
        training="None.",
        subject="No.",
        memory="All edits so far, as text with an index, and their tokens in every prompt.",
    )

    def check(self) -> None:
        require_positive(self.name, nearest=self.nearest)

    def engine(self, live: LiveModel) -> RetrievalEngine:
        return RetrievalEngine(live, self)


class RetrievalEngine(PlainEngine):
    def __init__(self, live: LiveModel, method: Retrieval) -> None:
        super().__init__(live)
        self.method: Retrieval = method

    def start(self) -> Facts:
        return Facts(self.live.tokenizer, self.method.nearest, {})

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> Facts:
        text = bytes(tensors["facts.json"].tolist()).decode()
        return Facts(self.live.tokenizer, self.method.nearest, json.loads(text))

    def run(self, turn: EncodedTurn, state: State, put_off: bool = False) -> TurnResult:
        assert isinstance(state, Facts)
        written = [turn.records[e] for e in turn.written]
        facts = dict(state.facts) | {r.prompt.strip(): r.target.strip() for r in written}
        now = Facts(state.tokenizer, state.nearest, facts)
        before, _, _ = measure(self.live, turn, self.micro_batch)
        encoder, ending = self.live.encoder, [self.live.encoder.end_token] * self.method.end_token
        put = [encoder.pair(now.recall(r.prompt), r.target) for r in written]
        asked = [(prompt, [*target, *ending]) for prompt, target in put]
        lengths = list(turn.lengths)
        for edit, (_, target) in zip(turn.written, put, strict=True):
            lengths[edit] = len(target)
        recalled = replace(turn, pairs=asked, owners=turn.written, lengths=lengths)
        after, learned, stops = measure(self.live, recalled, self.micro_batch)
        still = {w.name: 0.0 for w in self.live.weights}
        owner = torch.empty(0, dtype=torch.int64)
        return TurnResult(owner, (), now, before, after, learned, stops, still)

    def recall(self, prompt: str, state: State) -> str:
        assert isinstance(state, Facts)
        return state.recall(prompt)


@dataclass(frozen=True)
class Facts(State):
    """Every edit so far, as text."""

    tokenizer: PreTrainedTokenizerBase
    nearest: int
    facts: Mapping[str, str]
    """Prompt -> target."""

    def state_dict(self) -> dict[str, Tensor]:
        text = json.dumps(dict(self.facts), ensure_ascii=False).encode()
        return {"facts.json": torch.tensor(list(text), dtype=torch.uint8)}

    def recall(self, prompt: str) -> str:
        """The nearest facts as lines of "prompt target", the nearest last, then the question."""
        lines = [f"{p} {self.facts[p]}" for p in reversed(self._nearest(prompt))]
        return "\n".join([*lines, prompt])

    @cached_property
    def _index(self) -> dict[int, list[tuple[str, int]]]:
        """Token -> (fact, how often it stands there)."""
        index: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for fact in self.facts:
            for token, count in self._tokens(fact).items():
                index[token].append((fact, count))
        return index

    def _nearest(self, prompt: str) -> list[str]:
        """Prompts of the nearest edits, the nearest first; those that share no token are left out."""
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
        return ranked[: self.nearest]

    def _weight(self, holders: int) -> float:
        """Square of the inverse document frequency; above 0 even for a token that all facts share."""
        return math.log(1 + len(self.facts) / holders) ** 2

    def _tokens(self, text: str) -> Counter[int]:
        ids = self.tokenizer(" " + text.strip(), add_special_tokens=False)["input_ids"]
        return Counter(ids)  # type: ignore[arg-type]


PRESETS = {"retrieval": Retrieval("retrieval")}
