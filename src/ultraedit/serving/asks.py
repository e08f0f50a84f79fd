"""What the model is asked, and what it says back, piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ultraedit.serving.sampling import Likelihood

Ending = Literal["stop", "length"]


@dataclass(frozen=True)
class Wish:
    """How an answer is to be generated."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stops: tuple[str, ...] = ()
    logprobs: int | None = None
    """Most likely tokens to tell at each place; 0 tells the chosen ones alone, None none."""
    score_prompt: bool = False
    """Tell how likely the prompt's own tokens are."""


@dataclass(frozen=True)
class Started:
    """The request has its rows: it is answered from this version."""

    turn: int
    version: str


@dataclass(frozen=True)
class Scored:
    """How likely the prompt's tokens are, the second one on."""

    choice: int
    tokens: tuple[Likelihood, ...]


@dataclass(frozen=True)
class Piece:
    """More of a choice's text; the text may be "" where it is not certain yet."""

    choice: int
    text: str
    tokens: tuple[int, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()


@dataclass(frozen=True)
class Ended:
    """A choice is through."""

    choice: int
    why: Ending
    tokens: int
    """Tokens generated, the end token with them."""


@dataclass(frozen=True)
class Failed:
    """Nothing more comes of this request."""

    status: int
    message: str
    retry_after: int | None = None


Event = Started | Scored | Piece | Ended | Failed


@dataclass(eq=False)
class Ask:
    """One request: prompts, each answered in one choice, all from one version."""

    prompts: Sequence[list[int]]
    wishes: Sequence[Wish]
    """One a prompt."""
    turn: int | None
    """The turn whose weights answer; None is the head at the moment it begins."""
    deliver: Callable[[Event], None]
    """Called on the model thread for every event; must not block."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Nobody wants the answer any more; its rows are freed at the next step."""
        self.cancelled.set()
