"""Fine-tuning of the edited maps, breadth-first over all edits.

Source: the localised breadth-first fine-tuning of LocFT-BF ("Fine-tuning Done Right in Model Editing", arXiv
2509.22072): epochs over the whole set of edits in mini-batches, not one edit after another until it is learned.
Here the maps are those that the presets edit, the loss is summed over an edit's tokens, end token included, and
the weights have an fp32 master, as with `default`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ultraedit.methods.base import (
    EncodedTurn,
    Ids,
    LiveModel,
    Method,
    Needs,
    PlainEngine,
    State,
    TurnResult,
    require_positive,
    shifts_or_nothing,
    take_back,
)
from ultraedit.methods.pair_tensors import pair_tensors, pairs_from_tensors
from ultraedit.methods.scores import measure
from ultraedit.methods.training import Lesson, train


def needs_of_training(beside: str) -> Needs:
    """What training on all edits needs, and what it holds beside them."""
    return Needs(
        training="Up to `epochs` passes over all edits, by Adam, anew whenever the model is asked.",
        subject="No.",
        memory=f"All edits so far, and {beside}.",
    )


@dataclass(frozen=True)
class FineTune(Method):
    rate: float = 1e-4
    """Learning rate of Adam."""
    epochs: int = 25
    batch: int = 10
    enough: float = 0.05
    """Mean loss of an edit at which training ends."""

    stated_needs: ClassVar[Needs] = needs_of_training(
        "Adam's two moments of the edited maps while it trains"
    )

    def check(self) -> None:
        require_positive(self.name, rate=self.rate, epochs=self.epochs, batch=self.batch)

    def engine(self, live: LiveModel) -> FineTuneEngine:
        return FineTuneEngine(live, self)


@dataclass(frozen=True)
class AllEdits(State):
    """Every edit so far, as token ids, by prompt: a later edit of a prompt takes the place of the earlier one."""

    pairs: Mapping[tuple[int, ...], Ids]

    def state_dict(self) -> dict[str, Tensor]:
        return pair_tensors("edits", self.pairs.values())


class FineTuneEngine(PlainEngine):
    """Training begins again from the original weights each time, and can be put off until the model is asked."""

    def __init__(self, live: LiveModel, method: FineTune) -> None:
        super().__init__(live)
        self.method: FineTune = method

    def start(self) -> AllEdits:
        return AllEdits({})

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> AllEdits:
        return AllEdits({tuple(p): (p, t) for p, t in pairs_from_tensors("edits", tensors)})

    def run(self, turn: EncodedTurn, state: State, put_off: bool = False) -> TurnResult:
        assert isinstance(state, AllEdits)
        now = AllEdits(dict(state.pairs) | {tuple(p): (p, t) for p, t in turn.pairs})
        before, learned, stops = measure(self.live, turn, self.micro_batch)
        after, moved = before, {w.name: 0.0 for w in self.live.weights}
        if not put_off:
            moved = self._train_on(now)
            after, learned, stops = measure(self.live, turn, self.micro_batch)
        owner = torch.empty(0, dtype=torch.int64)
        return TurnResult(owner, (), now, before, after, learned, stops, moved)

    def settle(self, state: State) -> None:
        """Train on all edits, from the original weights on."""
        assert isinstance(state, AllEdits)
        self._train_on(state)

    def _train_on(self, state: AllEdits) -> dict[str, float]:
        """Module -> how far training on all edits moved it from where it was, over the size of its weights."""
        weights = self.live.weights
        with shifts_or_nothing(weights) as old:
            take_back(weights)
            if state.pairs:
                self.train(state)
        return {
            w.name: float(torch.linalg.vector_norm(w.shift - shift)) / w.norm
            for w, shift in zip(weights, old, strict=True)
        }

    def train(self, state: AllEdits) -> None:
        """From the original weights on."""
        masters = [w.shift for w in self.live.weights]  # new ones, which nobody shares
        optimiser = torch.optim.Adam(masters, lr=self.method.rate)
        live = [w.parameter.requires_grad_(True) for w in self.live.weights]

        def step() -> None:
            for master, parameter in zip(masters, live, strict=True):
                assert parameter.grad is not None
                master.grad = parameter.grad.float().view_as(master)
                parameter.grad = None
            optimiser.step()
            for w in self.live.weights:
                w.write()

        try:
            self.epochs(state, step)
        finally:
            for master, parameter in zip(masters, live, strict=True):
                master.grad = parameter.grad = None
                parameter.requires_grad_(False)

    def epochs(
        self,
        state: AllEdits,
        step: Callable[[], None],
        pause: Callable[[], None] | None = None,
    ) -> None:
        """All edits so far, `step` after each backward pass; `pause` in place of the listener's own."""
        train(
            Lesson(self.live.runner, list(state.pairs.values())),
            step,
            epochs=self.method.epochs,
            batch=self.method.batch,
            enough=self.method.enough,
            pause=pause or self.live.runner.listener.pause,
        )


PRESETS = {"finetune": FineTune("finetune")}
