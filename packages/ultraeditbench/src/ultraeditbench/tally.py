"""What the card counts while records are written, in a form that survives a restart.

Knows nothing of where records come from.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SAMPLE = 50
_CHARS = 20
"""Width of a bar of the prompt length histogram, in characters."""


@dataclass(slots=True)
class Tally:
    """Counters over the records written so far, and the sample for the card."""

    seed: int
    written: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    probes: Counter[str] = field(default_factory=Counter)
    prompt_chars: Counter[int] = field(default_factory=Counter)
    answer_words: Counter[int] = field(default_factory=Counter)
    answer_chars: Counter[int] = field(default_factory=Counter)
    conflicts: int = 0
    rewritten: int = 0
    sample: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of sort key and record as JSON: the records whose hash is smallest."""
    worst: str = ""

    def add(self, record: dict[str, Any]) -> None:
        """Counts one written record."""
        self.written += 1
        self.splits[record["split"]] += 1
        self.relations[f"{record['relation']}\t{record['relation_label']}"] += 1
        for probe in record["locality"]:
            self.probes[probe["kind"]] += 1
        self.probes["persona"] += len(record["personas"])
        self.probes["two_hop"] += len(record["portability"])
        self.prompt_chars[len(record["prompt"]) // _CHARS * _CHARS] += 1
        self.answer_chars[len(record["ans"]) // 5 * 5] += 1
        self.answer_words[len(record["ans"].split())] += 1
        self.conflicts += record["conflicts_with"] is not None
        self.rewritten += record["rewritten"]
        key = hashlib.md5(f"{self.seed}:{record['id']}".encode(), usedforsecurity=False).hexdigest()
        if len(self.sample) < SAMPLE or key < self.worst:
            self.sample = heapq.nsmallest(
                SAMPLE,
                [*self.sample, (key, json.dumps(record, ensure_ascii=False, sort_keys=True))],
            )
            self.worst = self.sample[-1][0]

    def merge(self, other: Tally) -> None:
        """Adds the counts of records written elsewhere.  The order of merging does not matter."""
        self.written += other.written
        self.conflicts += other.conflicts
        self.rewritten += other.rewritten
        for name in self.__slots__:
            held = getattr(self, name)
            if isinstance(held, Counter):
                held.update(getattr(other, name))
        self.sample = heapq.nsmallest(SAMPLE, [*self.sample, *other.sample])
        self.worst = self.sample[-1][0] if self.sample else ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the state file."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Tally:
        """The inverse of `to_json` after a trip through JSON."""
        tally = cls(state["seed"])
        for name, value in state.items():
            if name in ("prompt_chars", "answer_words", "answer_chars"):
                setattr(tally, name, Counter({int(k): n for k, n in value.items()}))
            elif isinstance(value, dict):
                setattr(tally, name, Counter(value))
            elif name == "sample":
                tally.sample = [tuple(pair) for pair in value]
            else:
                setattr(tally, name, value)
        return tally
