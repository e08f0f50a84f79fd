"""What a turn left of the model's own answers to a few things that no edit is about.

The requests are bundled ones that nothing is scored on.  A reading depends on the model alone; the journal has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.data.requests import bundled_requests, spread
from ultraedit.editing.editor import Editor
from ultraedit.methods.own_answers import unedited_answers
from ultraedit.model.generate import stop_token_ids
from ultraedit.model.steady import steady
from ultraedit.model.weights import originals

REQUESTS = 12
"""Asked of the unedited model, once in a process."""
ANSWER_TOKENS = 16
"""Of its answers."""
LARGEST_KL = 20.0
"""Nats are reported up to here, so that a broken model still gives a finite number."""


@dataclass(frozen=True)
class ChatReading:
    """How far the model has moved on its own answers."""

    kl: float
    """Mean KL(unedited || now) in nats over the tokens of the unedited model's answers."""
    same_first_token: float
    """Share of the requests whose answer begins as the unedited model's."""
    requests: int

    def __str__(self) -> str:
        same = round(self.same_first_token * self.requests)
        return (
            f"on {self.requests} things that no edit is about the chat moved by a KL of {self.kl:.2g}; "
            f"{same} of {self.requests} answers begin as before"
        )


class OwnAnswers:
    """The unedited model's answers, and how likely they still are.  Only the top blocks run again."""

    def __init__(self, editor: Editor, pairs: list[tuple[list[int], list[int]]]) -> None:
        """Use `own_answers`: `pairs` holds (prompt, the unedited model's answer) as token ids."""
        self._editor = editor
        self._firsts = _firsts([len(answer) for _, answer in pairs])
        with originals(editor.weights):
            self._batch = editor.runner.batch(pairs, range(len(pairs)))
            with steady(editor.model):
                (self._trunk,) = editor.runner.trunks([self._batch])
            self._before = self._states()

    def read(self) -> ChatReading:
        """Of the model as it is now."""
        pause = self._editor.listener.pause
        states = self._states()
        pause()
        before = self._logprobs(self._before)
        pause()
        now = self._logprobs(states)
        pause()
        kl = float((before.exp() * (before - now)).sum(-1).clamp_min(0).mean())
        same = before[self._firsts].argmax(-1) == now[self._firsts].argmax(-1)
        return ChatReading(
            kl=LARGEST_KL if math.isnan(kl) else min(kl, LARGEST_KL),
            same_first_token=float(same.double().mean()),
            requests=len(self._firsts),
        )

    @torch.no_grad()
    def _states(self) -> Float[Tensor, "tokens width"]:
        """Last hidden states where the answers' tokens are predicted."""
        with steady(self._editor.model):
            return self._editor.runner.top(self._batch, self._trunk)[self._batch.answers]

    @torch.no_grad()
    def _logprobs(self, states: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens vocab"]:
        with steady(self._editor.model):
            return self._editor.runner.head(states).float().log_softmax(-1)


def own_answers(editor: Editor) -> OwnAnswers | None:
    """Ask the unedited model.

    Args:
        editor: in chat form; its edits are left out of the answers.

    Returns:
        What takes readings; None where the context holds no request with an answer, or the model says nothing.
    """
    prompts = []
    for request in spread(bundled_requests("anchor"), REQUESTS):
        messages = [{"role": role, "content": text} for role, text in request.messages]
        ids = editor.encoder.conversation(messages)
        if len(ids) + ANSWER_TOKENS <= editor.context:
            prompts.append(ids)
    ends = stop_token_ids(editor.model, editor.tokenizer)
    said = unedited_answers(editor.runner, editor.weights, prompts, ANSWER_TOKENS, ends)
    pairs = [(prompt, answer) for prompt, answer in said if answer]
    return OwnAnswers(editor, pairs) if pairs else None


def _firsts(lengths: list[int]) -> list[int]:
    """Where each answer begins, when they are laid end to end."""
    return [sum(lengths[:k]) for k in range(len(lengths))]
