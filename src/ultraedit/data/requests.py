"""Chat requests: what an edited model must answer as it did before.  Knows nothing of models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["score", "anchor"]
Kind = Literal["fact", "everyday", "system", "turns", "instruction"]

KINDS: dict[Kind, str] = {
    "fact": "short factual questions",
    "everyday": "everyday requests",
    "system": "requests behind a system message",
    "turns": "requests after earlier turns",
    "instruction": "instructions that a program verifies",
}
"""Every kind of request, in words."""


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation that waits for the assistant's answer."""

    id: str
    kind: Kind
    split: Split
    messages: tuple[tuple[str, str], ...]
    """(role, content) of each message, the user's last."""
    answers: tuple[str, ...]
    """Any of these makes an answer right; empty where no answer is right or wrong."""
    checks: tuple[dict[str, Any], ...]
    """What `checks.passes` verifies; empty where nothing is."""

    @property
    def question(self) -> str:
        """The user's last message."""
        return self.messages[-1][1]

    @property
    def said(self) -> str:
        """Everything that stands in the request, for looking words up."""
        return "\n".join(content for _, content in self.messages)


def bundled_requests(split: Split = "score") -> list[Request]:
    """The requests that ship with the package.

    Args:
        split: "score", on which nothing may be tuned, or "anchor", about other things, which an
            editor may use.

    Returns:
        The requests in the order of the file.
    """
    from ultraedit.data.bundled import requests_path

    text = requests_path().read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [
        Request(
            id=row["id"],
            kind=row["kind"],
            split=row["split"],
            messages=tuple((m["role"], m["content"]) for m in row["messages"]),
            answers=tuple(row["answers"]),
            checks=tuple(row["checks"]),
        )
        for row in rows
        if row["split"] == split
    ]


def spread(requests: Sequence[Request], count: int) -> list[Request]:
    """A fixed choice of `count` requests, at even distances, so that every kind has its share.

    Args:
        requests: what to choose from.
        count: how many; all where there are no more.

    Returns:
        The chosen ones, in their order.
    """
    some = min(count, len(requests))
    return [requests[len(requests) * k // some] for k in range(some)]
