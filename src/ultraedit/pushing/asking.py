"""How a server is asked: one greedy completion of token ids, with log probabilities where it tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ultraedit.errors import ServerError
from ultraedit.pushing.endpoint import Endpoint, refused


@dataclass(frozen=True)
class Heard:
    """A server's answer."""

    text: str
    logprobs: tuple[float, ...]
    """Of its tokens; empty where the server tells none."""


@dataclass(frozen=True)
class Asker:
    """One model of a server."""

    endpoint: Endpoint
    model: str
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields by which this server is told which adapter is meant."""

    def ask(self, prompt: Sequence[int], tokens: int) -> Heard:
        """The most likely continuation, of `tokens` tokens at most.

        Token ids are sent, because a server's own tokenizer may put a BOS where the model was edited without one.
        Raises ServerError where there is no answer.
        """
        body = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": tokens,
            "temperature": 0,
            "logprobs": 1,
            **self.more,
        }
        reply = self.endpoint.post("/v1/completions", body)
        if not reply.ok:
            raise refused(self.endpoint, f'answer as "{self.model}"', reply)
        try:
            choice = reply.json["choices"][0]
            return Heard(str(choice["text"]), _logprobs(choice.get("logprobs")))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ServerError(
                f"what the server at {self.endpoint.url} answers to /v1/completions is no completion: {reply.words}"
            ) from error


def _logprobs(found: Any) -> tuple[float, ...]:
    """As OpenAI's completions tell them, or (llama.cpp) as its chat does."""
    if not isinstance(found, dict):
        return ()
    if isinstance(found.get("content"), list):
        return tuple(float(row["logprob"]) for row in found["content"])
    return tuple(float(value) for value in found.get("token_logprobs") or () if value is not None)
