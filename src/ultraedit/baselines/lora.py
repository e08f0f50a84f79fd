"""LoRA by peft on the edited maps, trained breadth-first like `finetune` and merged before it is asked.

Source: LoRA (arXiv 2106.09685), peft's own layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.base import Needs, require_positive
from ultraedit.baselines.finetune import FineTune, FineTuneSettings
from ultraedit.extras import require
from ultraedit.model.text import Form


@dataclass(frozen=True)
class LoraSettings:
    rate: float = 1e-3
    """Learning rate of Adam."""
    rank: int = 16
    epochs: int = 25
    batch: int = 10
    enough: float = 0.05
    """Mean loss of an edit at which training ends."""
    end_token: bool = True

    def __post_init__(self) -> None:
        require_positive("lora", rate=self.rate, rank=self.rank, epochs=self.epochs)
        require_positive("lora", batch=self.batch)


class Lora(FineTune):
    """The adapters exist while they are trained; what is asked is the model with them merged."""

    extra = "baselines"
    needs = Needs(
        training="Up to `epochs` passes over all edits, by Adam, anew whenever the model is asked.",
        subject="No.",
        memory="All edits so far, and a pair of rank-`rank` factors a map with Adam's moments while it trains.",
    )

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        settings: LoraSettings,
    ) -> None:
        require("the baseline lora", "baselines")
        shared = FineTuneSettings(
            settings.rate, settings.epochs, settings.batch, settings.enough, settings.end_token
        )
        super().__init__(model, tokenizer, form, modules, shared)
        self.rank = settings.rank

    def settle(self) -> None:
        self._unedit()
        with self._adapters() as layers:
            factors = [p for layer in layers for p in _factors(layer)]
            optimiser = torch.optim.Adam(factors, lr=self.settings.rate)

            def step() -> None:
                optimiser.step()
                optimiser.zero_grad()

            self._train(step)
            with torch.no_grad():
                shifts = [layer.get_delta_weight("default").float() for layer in layers]  # type: ignore[operator]
        for w, shift in zip(self.weights, shifts, strict=True):
            w.set_shift(shift)

    @contextmanager
    def _adapters(self) -> Iterator[list[nn.Module]]:
        """peft's layers in the place of the edited maps, which come back on any exit."""
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.rank,
            target_modules=[w.name for w in self.weights],
            fan_in_fan_out=self.weights[0].transposed,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inject_adapter_in_model(config, self.model)
        layers = [self.model.get_submodule(w.name) for w in self.weights]
        try:
            for layer in layers:
                for factor in _factors(layer):
                    factor.data = factor.data.float()
            yield layers
        finally:
            for w in self.weights:
                parent, _, leaf = w.name.rpartition(".")
                setattr(self.model.get_submodule(parent), leaf, w.module)
            del self.model.peft_config  # else peft warns of a second adapter next time
            self.model.requires_grad_(False).eval()


def _factors(layer: nn.Module) -> list[Tensor]:
    return [p for name, p in layer.named_parameters() if "lora_" in name]
