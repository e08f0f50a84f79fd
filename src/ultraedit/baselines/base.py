"""What every baseline shares: the edited weights, the split model, and what it says it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.data.record import Record
from ultraedit.editing.assemble import encode_record
from ultraedit.errors import ConfigError
from ultraedit.model.context import context_length
from ultraedit.model.find import find_structure
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack
from ultraedit.model.steady import steady
from ultraedit.model.text import Form, PromptEncoder
from ultraedit.model.usable import usable
from ultraedit.model.weights import edited_weights


@dataclass(frozen=True)
class Needs:
    """One sentence each, for the table of results."""

    training: str
    subject: str
    memory: str

    def as_dict(self) -> dict[str, str]:
        return {
            "needs, training": self.training,
            "needs, subject": self.subject,
            "needs, memory": self.memory,
        }


class BaselineEditor(ABC):
    """Edits the model passed in.  `edit_turn` takes a turn; `settle` is called before anything is scored."""

    needs: ClassVar[Needs]
    extra: ClassVar[str | None] = None
    """The extra of pyproject.toml that it needs."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
    ) -> None:
        """Raises ModelError for an unsupported structure, as `Editor` does."""
        self.model = model = usable(model).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.form: Form = form
        self.encoder = PromptEncoder(tokenizer, form)
        structure = find_structure(model, named=modules not in ("auto", "paper"))
        projections = select_projections(model, structure, modules)
        self.structure = structure
        self.weights = edited_weights(model, projections)
        with steady(model):
            self.stack = Stack(model, structure, min(p.block for p in projections))
            self.stack.check()

    @abstractmethod
    def edit_turn(self, records: Sequence[Record]) -> None:
        """Take a turn.  Raises DataError for a record that cannot be used."""

    def settle(self) -> None:  # noqa: B027 - most baselines have nothing to do
        """Do what is put off until the model is asked."""

    def recall(self, prompt: str) -> str:
        """The prompt as the model is asked it."""
        return prompt

    def reset(self) -> None:
        """The unedited model, to the bit, and no edits."""
        self._unedit()

    def _unedit(self) -> None:
        """The original weights; the edits are still known."""
        for w in self.weights:
            w.set_shift(torch.zeros_like(w.shift))

    def encode(self, record: Record, end_token: bool) -> tuple[list[int], list[int]]:
        """(prompt ids, answer ids), with the token that ends an answer if `end_token`."""
        context = context_length(self.model, self.tokenizer)
        prompt, target = encode_record(record, self.encoder, context)[0]
        return prompt, target + ([self.encoder.end_token] if end_token else [])


def require_positive(name: str, **values: float) -> None:
    """Raise ConfigError for a setting of baseline `name` that is not above 0."""
    for key, value in values.items():
        if not value > 0:
            raise ConfigError(f"{key} of {name} is {value}; it must be above 0.")
