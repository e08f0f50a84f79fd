"""From what a request says to token ids.  Has a tokenizer of its own: the model thread's may not be used beside it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from ultraedit.errors import ConfigError, DataError
from ultraedit.model.form import PromptForm
from ultraedit.model.text import Message, PromptEncoder
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.text import decode


class Prompts:
    """Tokenises, one call at a time; any thread may call."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, form: PromptForm, context: int, vocabulary: int
    ) -> None:
        """
        Args:
            tokenizer: The model's; it is copied.
            form: The form in which the workspace's facts are written.
            context: Tokens that the model takes.
            vocabulary: Rows of its embedding; token ids at or beyond it are refused.
        """
        self.context = context
        self.form: PromptForm = form
        self._tokenizer = copy.deepcopy(tokenizer)
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._facts = PromptEncoder(self._tokenizer, form)
        try:
            self._chat: PromptEncoder | None = PromptEncoder(self._tokenizer, "chat")
        except ConfigError:
            self._chat = None

    def raw(self, prompt: str | Sequence[int], param: str = "prompt") -> list[int]:
        """A text as the tokenizer takes it by itself, or token ids as they are."""
        if isinstance(prompt, str):
            with self._lock:
                ids = list(self._tokenizer(prompt, verbose=False)["input_ids"])  # type: ignore[arg-type]
        else:
            ids = list(prompt)
        return self._checked(ids, param)

    def bare(self, text: str) -> list[int]:
        """A text without the tokenizer's opening tokens."""
        with self._lock:
            return list(
                self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[arg-type]
            )

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """A chat in the model's template, ready for the answer."""
        encoder = self._require_chat()
        try:
            with self._lock:
                ids = encoder.conversation(messages)
        except DataError as error:
            raise Refusal(400, str(error), param="messages") from error
        return self._checked(ids, "messages")

    def chat_pair(self, messages: Sequence[Message], target: str) -> tuple[list[int], list[int]]:
        """A chat, and an answer to it."""
        encoder = self._require_chat()
        try:
            with self._lock:
                return encoder.conversation_pair(messages, target)
        except DataError as error:
            raise Refusal(400, str(error), param="messages") from error

    def fact(self, prompt: str) -> list[int]:
        """A prompt in the form in which this workspace's facts are written."""
        try:
            with self._lock:
                ids = self._facts.prompt(prompt)
        except DataError as error:
            raise Refusal(400, str(error), param="prompt") from error
        return self._checked(ids, "prompt")

    def fact_pair(self, prompt: str, target: str) -> tuple[list[int], list[int]]:
        """A fact as it is written."""
        try:
            with self._lock:
                return self._facts.pair(prompt, target)
        except DataError as error:
            raise Refusal(400, str(error), param="prompt") from error

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as text, special tokens with it."""
        with self._lock:
            return decode(self._tokenizer, ids, special=True)

    def _require_chat(self) -> PromptEncoder:
        if self._chat is None:
            raise Refusal(
                400, "this model has no chat template; use /v1/completions.", param="messages"
            )
        return self._chat

    def _checked(self, ids: list[int], param: str) -> list[int]:
        if not ids:
            raise Refusal(400, "the prompt is empty; give at least one token.", param=param)
        wrong = next((i for i in ids if not 0 <= i < self._vocabulary), None)
        if wrong is not None:
            raise Refusal(
                400,
                f"token id {wrong} is not in this model's vocabulary of {self._vocabulary}.",
                param=param,
            )
        return ids
