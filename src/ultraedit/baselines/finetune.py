"""Fine-tuning of the edited maps, breadth-first over all edits.

Source: the localised breadth-first fine-tuning of LocFT-BF ("Fine-tuning Done Right in Model Editing", arXiv
2509.22072): epochs over the whole set of edits in mini-batches, not one edit after another until it is learned.
Here the maps are those that the presets edit, the loss is summed over an edit's tokens, end token included, and
the weights have an fp32 master, as with `default`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.base import BaselineEditor, Needs, require_positive
from ultraedit.baselines.lesson import Ids, Lesson, train
from ultraedit.data.record import Record
from ultraedit.model.text import Form


@dataclass(frozen=True)
class FineTuneSettings:
    rate: float = 1e-4
    """Learning rate of Adam."""
    epochs: int = 25
    batch: int = 10
    enough: float = 0.05
    """Mean loss of an edit at which training ends."""
    end_token: bool = True

    def __post_init__(self) -> None:
        require_positive("finetune", rate=self.rate, epochs=self.epochs, batch=self.batch)


class FineTune(BaselineEditor):
    """Training is put off until the model is asked, and then begins again from the original weights."""

    needs = Needs(
        training="Up to `epochs` passes over all edits, by Adam, anew whenever the model is asked.",
        subject="No.",
        memory="All edits so far, and Adam's two moments of the edited maps while it trains.",
    )

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        settings: FineTuneSettings,
    ) -> None:
        super().__init__(model, tokenizer, form, modules)
        self.settings = settings
        self._pairs: dict[tuple[int, ...], Ids] = {}  # by prompt: a later edit of a prompt wins

    def edit_turn(self, records: Sequence[Record]) -> None:
        for record in records:
            prompt, target = self.encode(record, self.settings.end_token)
            self._pairs[tuple(prompt)] = (prompt, target)

    def reset(self) -> None:
        super().reset()
        self._pairs = {}

    def settle(self) -> None:
        self._unedit()
        masters = [w.shift for w in self.weights]
        optimiser = torch.optim.Adam(masters, lr=self.settings.rate)
        live = [w.parameter.requires_grad_(True) for w in self.weights]

        def step() -> None:
            for master, parameter in zip(masters, live, strict=True):
                assert parameter.grad is not None
                master.grad, parameter.grad = parameter.grad.float(), None
            optimiser.step()
            for w in self.weights:
                w.write()

        try:
            self._train(step)
        finally:
            for master, parameter in zip(masters, live, strict=True):
                master.grad = parameter.grad = None
                parameter.requires_grad_(False)

    def _train(self, step: Callable[[], None]) -> None:
        """All edits so far, `step` after each backward pass."""
        train(
            Lesson(self.stack, list(self._pairs.values())),
            step,
            epochs=self.settings.epochs,
            batch=self.settings.batch,
            enough=self.settings.enough,
        )
