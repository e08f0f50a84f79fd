"""LoRA by peft on the edited maps, trained breadth-first like `finetune` and merged before it is asked.

Source: LoRA (arXiv 2106.09685), peft's own layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ultraedit.extras import require
from ultraedit.methods.base import LiveModel, Needs, require_positive, require_undivided
from ultraedit.methods.finetune import AllEdits, FineTune, FineTuneEngine, needs_of_training
from ultraedit.model.runner.listener import Listener


@dataclass(frozen=True)
class Lora(FineTune):
    rate: float = 1e-3
    """Learning rate of Adam."""
    rank: int = 16

    extra: ClassVar[str | None] = "baselines"

    stated_needs: ClassVar[Needs] = needs_of_training(
        "a pair of rank-`rank` factors a map with Adam's moments while it trains"
    )

    def check(self) -> None:
        super().check()
        require_positive(self.name, rank=self.rank)

    def engine(self, live: LiveModel) -> LoraEngine:
        require("the baseline lora", "baselines")
        return LoraEngine(live, self)


class LoraEngine(FineTuneEngine):
    """The adapters exist while they are trained; what is asked is the model with them merged."""

    def __init__(self, live: LiveModel, method: Lora) -> None:
        super().__init__(live, method)
        require_undivided(method.name, live.weights)
        self._rank = method.rank
        self._listener = live.runner.listener

    def train(self, state: AllEdits) -> None:
        with self._adapters() as layers:
            factors = [p for layer in layers for p in _factors(layer)]
            optimiser = torch.optim.Adam(factors, lr=self.method.rate)

            def step() -> None:
                optimiser.step()
                optimiser.zero_grad()

            self.epochs(state, step, lambda: self._pause(layers))
            with torch.no_grad():
                shifts = [layer.get_delta_weight("default").float() for layer in layers]  # type: ignore[operator]
        for w, shift in zip(self.live.weights, shifts, strict=True):
            w.set_shift(shift)

    @contextmanager
    def _adapters(self) -> Iterator[list[nn.Module]]:
        """peft's layers in the place of the edited maps, which come back on any exit."""
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self._rank,
            lora_alpha=self._rank,
            target_modules=[w.name for w in self.live.weights],
            fan_in_fan_out=self.live.weights[0].transposed,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inject_adapter_in_model(config, self.live.model)
        layers = [self.live.model.get_submodule(w.name) for w in self.live.weights]
        runner = self.live.runner
        self._listener, runner.listener = runner.listener, Listener()  # no pause with adapters in
        try:
            for layer in layers:
                for factor in _factors(layer):
                    factor.data = factor.data.float()
            yield layers
        finally:
            runner.listener = self._listener
            self._put([w.module for w in self.live.weights])
            del self.live.model.peft_config  # else peft warns of a second adapter next time
            self.live.model.requires_grad_(False).eval()

    def _pause(self, layers: Sequence[nn.Module]) -> None:
        """The listener's, with the edited maps in their places: the model must be whole."""
        self._put([w.module for w in self.live.weights])
        self._listener.pause()
        self._put(layers)

    def _put(self, modules: Sequence[nn.Module]) -> None:
        """Modules into the places of the edited maps."""
        for w, module in zip(self.live.weights, modules, strict=True):
            parent, _, leaf = w.name.rpartition(".")
            setattr(self.live.model.get_submodule(parent), leaf, module)


def _factors(layer: nn.Module) -> list[Tensor]:
    return [p for name, p in layer.named_parameters() if "lora_" in name]


PRESETS = {"lora": Lora("lora")}
