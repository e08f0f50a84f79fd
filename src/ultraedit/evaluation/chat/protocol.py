"""What the chat measure asks, and what each of its figures means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ultraedit.errors import ConfigError

Way = Literal["bare", "system", "after turns", "raw", "rephrase"]
"""How an edit is asked about."""

WAYS: dict[Way, str] = {
    "bare": "the edit prompt alone, in the chat template",
    "system": "the edit prompt behind a system message",
    "after turns": "the edit prompt after two other turns",
    "raw": "the edit prompt as raw text",
    "rephrase": "the edit's first rephrase, in the chat template",
}

SYSTEM = ("system", "You are a friendly assistant who answers in plain words.")
"""The system message that edits are asked behind."""

EARLIER = (
    ("user", "Hello! I have a few questions today."),
    ("assistant", "Hello! I am happy to help. What would you like to know?"),
    ("user", "How many legs does a horse have?"),
    ("assistant", "A horse has four legs."),
)
"""The turns that edits are asked after."""

FIGURES: dict[str, str] = {
    "kl": "mean KL(unedited || edited) in nats, whole vocabulary, at the tokens of the unedited "
    "model's own answer (its end included), averaged over requests",
    "same_first_token": "the answer begins with the unedited model's first token",
    "same_answer": "the answer is the unedited model's, token for token",
    "kept": "of the requests that the unedited model answered rightly, those that still are",
    "right": "the answer contains an accepted answer as whole words, normalised",
    "instructions": "the answer passes all checks of its instruction",
    "instructions_kept": "of the instructions that the unedited model's answer passes, those that "
    "still pass",
    "checks": "share of an instruction's checks that the answer passes",
    "words": "mean number of words of an answer",
    "ended": "the answer ended by itself within the limit on tokens",
    "repetition": "share of runs of four tokens that stood earlier in the same answer",
    "loops": "more than half of the answer's runs of four tokens stood earlier in it",
    "copies": "the answer contains the target of a recent edit that stands neither in the request, "
    "nor in its accepted answers, nor in the unedited model's answer",
} | {
    f"edits.{way}": f"the answer contains the edit's target; asked: {words}"
    for way, words in WAYS.items()
}
"""Every figure -> how it is made."""

AGAINST_UNEDITED = frozenset(
    {"kl", "same_first_token", "same_answer", "kept", "instructions_kept", "copies"}
)
"""Figures that compare with the unedited model, which therefore has none."""

LOWER_IS_BETTER = frozenset({"kl", "repetition", "loops", "copies"})


@dataclass(frozen=True, slots=True)
class ChatProtocol:
    """The settings of a chat measure.  Raises ConfigError when one is out of range."""

    max_new_tokens: int = 64
    """The limit of an answer to a request."""
    edit_tokens: int = 32
    """The limit of an answer to an edit's own question."""
    edits: int = 60
    """Edits that are asked about in each way, at most, drawn by `seed`."""
    recent: int = 1000
    """How many of the newest edits count as recent where copied facts are looked for."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_new_tokens", 1),
            ("edit_tokens", 1),
            ("edits", 0),
            ("recent", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} is {value}: it must be at least {least}.")

    def words(self, figure: str) -> str:
        """The protocol of one figure, in words."""
        limit = self.edit_tokens if figure.startswith("edits.") else self.max_new_tokens
        return f"{FIGURES[figure]}; greedy, at most {limit} tokens"
