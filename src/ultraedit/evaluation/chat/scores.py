"""What became of the unedited model's chat: one row a request, one an edit asked in one way, and the
figures made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ultraedit.data.requests import Kind, Request
from ultraedit.evaluation import match
from ultraedit.evaluation.chat.checks import passes
from ultraedit.evaluation.chat.protocol import WAYS, ChatProtocol, Way
from ultraedit.evaluation.chat.unedited import Said
from ultraedit.evaluation.intervals import Figure, figure

GRAM = 4
"""Tokens of a run that is looked for again in the same answer."""
LOOP = 0.5
"""Share of repeated runs above which an answer is a loop."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one answer is, whatever was asked.  None: nothing to judge it by."""

    text: str
    right: bool | None
    passed: tuple[bool, ...] | None
    """Of the request's checks, in their order."""
    words: int
    ended: bool
    repetition: float

    @classmethod
    def of(cls, said: Said, request: Request) -> Manner:
        """Judge an answer to a request."""
        plain = match.normalise(said.text)
        wanted = [match.normalise(answer) for answer in request.answers]
        return cls(
            text=said.text,
            right=any(match.holds(plain, w) for w in wanted) if wanted else None,
            passed=tuple(passes(said.text, c) for c in request.checks) if request.checks else None,
            words=len(said.text.split()),
            ended=said.ended,
            repetition=match.repetition(said.ids, GRAM),
        )


@dataclass(frozen=True, slots=True)
class ChatRow:
    """One request, answered by both models."""

    id: str
    kind: Kind
    request: str
    """The user's last message."""
    before: Manner
    after: Manner
    kl: float
    """Nats a token of the unedited answer."""
    same_first_token: bool
    same_answer: bool
    copied: str | None
    """The target of a recent edit that the edited answer brings in."""


@dataclass(frozen=True, slots=True)
class EditRow:
    """One edit asked in one way, answered by both models."""

    id: str
    way: Way
    prompt: str
    target: str
    before: str
    after: str
    contained_before: bool
    contained_after: bool


@dataclass(frozen=True, slots=True)
class ChatScores:
    """The outcome of a chat measure: the unedited model's figures beside the edited one's."""

    protocol: ChatProtocol
    unedited: dict[str, Figure]
    """Figures of `protocol.FIGURES`; those that compare with the unedited model are left out."""
    edited: dict[str, Figure]
    by_kind: dict[str, dict[str, Figure]]
    """Kind of request -> the edited model's figures on it."""
    rows: tuple[ChatRow, ...]
    edits: tuple[EditRow, ...]
    left_out: dict[str, str]
    """What could not be asked -> why."""

    @property
    def right_before(self) -> int:
        """Requests that the unedited model answered rightly."""
        return sum(row.before.right is True for row in self.rows)

    @property
    def right_now(self) -> int:
        """Requests that the edited model answers rightly."""
        return sum(row.after.right is True for row in self.rows)

    @property
    def kept(self) -> int:
        """Of those that were right before, the ones that still are."""
        return sum(row.before.right is True and row.after.right is True for row in self.rows)

    def most_changed(self, count: int) -> list[ChatRow]:
        """The requests whose answer moved farthest, by KL, worst first; unchanged ones are left out."""
        changed = [row for row in self.rows if not row.same_answer]
        return sorted(changed, key=lambda row: -row.kl)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        found = asdict(self)
        counts = {
            "right_before": self.right_before,
            "right_now": self.right_now,
            "kept": self.kept,
        }
        return found | {"counts": counts}

    def __str__(self) -> str:
        """A table of the figures."""
        lines = [f"{'':<18}{'unedited':>10}{'edited':>10}  95 % interval     n"]
        for name, now in self.edited.items():
            old = self.unedited.get(name)
            before = f"{old.value:.3f}" if old is not None else "-"
            span = f"{now.low:.3f} to {now.high:.3f}"
            lines.append(f"{name:<18}{before:>10}{now.value:>10.3f}  {span:<15}{now.n:>4}")
        lines.append(
            f"right before {self.right_before}, kept {self.kept}, right now {self.right_now}"
        )
        return "\n".join(lines)


def find_copies(
    texts: Sequence[tuple[str, str, Iterable[str]]], targets: Sequence[str]
) -> list[str | None]:
    """The first of `targets` in each edited answer that stands nowhere it may have come from.

    Args:
        texts: the edited answer, the unedited one, and the request's own texts and accepted answers.
        targets: what recent edits wrote, newest first.

    Returns:
        One target, or None, for each of `texts`.
    """
    wanted: dict[str, str] = {}
    for target in targets:
        if target.strip():
            wanted.setdefault(match.normalise(target), target)
    found: list[str | None] = []
    for after, before, others in texts:
        now = match.normalise(after)
        known = [match.normalise(text) for text in (before, *others) if text.strip()]
        new = (
            target
            for plain, target in wanted.items()
            if plain in now
            and match.holds(now, plain)
            and not any(match.holds(text, plain) for text in known)
        )
        found.append(next(new, None))
    return found


def summarise(
    rows: Sequence[ChatRow], edits: Sequence[EditRow], protocol: ChatProtocol
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """(the unedited model's figures, the edited one's); a figure that nothing stands behind is left
    out."""
    before = _manners([row.before for row in rows])
    after = _against(rows) | _manners([row.after for row in rows])
    for way in WAYS:
        asked = [row for row in edits if row.way == way]
        before[f"edits.{way}"] = [float(row.contained_before) for row in asked]
        after[f"edits.{way}"] = [float(row.contained_after) for row in asked]
    return _figures(before, protocol), _figures(after, protocol)


def summarise_kinds(
    rows: Sequence[ChatRow], protocol: ChatProtocol
) -> dict[str, dict[str, Figure]]:
    """Kind of request -> the edited model's figures on it."""
    kinds = dict.fromkeys(row.kind for row in rows)
    return {kind: summarise([r for r in rows if r.kind == kind], (), protocol)[1] for kind in kinds}


def _against(rows: Sequence[ChatRow]) -> dict[str, list[float]]:
    return {
        "kl": [row.kl for row in rows],
        "same_first_token": [float(row.same_first_token) for row in rows],
        "same_answer": [float(row.same_answer) for row in rows],
        "kept": [float(row.after.right is True) for row in rows if row.before.right],
        "instructions_kept": [float(_all(row.after)) for row in rows if _all(row.before)],
        "copies": [float(row.copied is not None) for row in rows],
    }


def _all(manner: Manner) -> bool:
    """Whether there are checks and the answer passes all of them."""
    return manner.passed is not None and all(manner.passed)


def _manners(manners: Sequence[Manner]) -> dict[str, list[float]]:
    found: Mapping[str, Callable[[Manner], float | None]] = {
        "right": lambda m: None if m.right is None else float(m.right),
        "instructions": lambda m: None if m.passed is None else float(all(m.passed)),
        "checks": lambda m: None if m.passed is None else sum(m.passed) / len(m.passed),
        "words": lambda m: float(m.words),
        "ended": lambda m: float(m.ended),
        "repetition": lambda m: m.repetition,
        "loops": lambda m: float(m.repetition > LOOP),
    }
    return {
        name: [value for m in manners if (value := score(m)) is not None]
        for name, score in found.items()
    }


def _figures(values: Mapping[str, list[float]], protocol: ChatProtocol) -> dict[str, Figure]:
    return {
        name: figure(scores, protocol.words(name), seed=protocol.seed)
        for name, scores in values.items()
        if scores
    }
