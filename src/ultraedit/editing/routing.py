"""Which experts ordinary text is routed to behind the edits, and how much of that the edits changed.

An edit of experts moves hidden states, and later layers choose their experts by those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.data.bundled import drift_text
from ultraedit.model.find import Structure
from ultraedit.model.maps.base import Keys, See, tapped
from ultraedit.model.maps.experts import ExpertsMap, RoutedKeys
from ultraedit.model.runner.base import Runner
from ultraedit.model.steady import steady
from ultraedit.model.weights import EditedWeight, originals

TOKENS = 256
WINDOW = 64


@dataclass(frozen=True)
class RoutingReading:
    """How far the choice of experts has moved."""

    changed: float
    """Share of tokens whose set of experts is another than in the unedited model, in the mean over layers."""
    worst: float
    """The same in the layer where it is largest."""
    tokens: int
    layers: int
    """Layers of experts above the first edited block."""

    def __str__(self) -> str:
        layers = "the layer" if self.layers == 1 else f"the {self.layers} layers"
        return (
            f"{self.changed:.1%} of {self.tokens} tokens of ordinary text go to other experts in {layers} above the "
            f"first edit ({self.worst:.1%} in the worst)"
        )


class Routing:
    """The unedited model's routing of ordinary text, and what is left of it.  Only the top blocks run again."""

    def __init__(
        self,
        model: PreTrainedModel,
        runner: Runner,
        weights: Sequence[EditedWeight],
        maps: Sequence[ExpertsMap],
        ids: list[int],
    ) -> None:
        """Use `routing`."""
        self._model = model
        self._runner = runner
        self._maps = maps
        windows = [ids[k : k + WINDOW] for k in range(0, len(ids), WINDOW)]
        windows = [
            w for w in windows if len(w) == len(windows[0])
        ]  # no padding, which is routed too
        self._batch = runner.batch([(w[:1], w[1:]) for w in windows], range(len(windows)))
        with originals(weights):
            with steady(model):
                (self._trunk,) = runner.trunks([self._batch])
            self._before = self._chosen()

    def read(self) -> RoutingReading:
        """Of the model as it is now."""
        pairs = zip(self._before, self._chosen(), strict=True)
        shares = [float((a != b).any(-1).double().mean()) for a, b in pairs]
        return RoutingReading(
            sum(shares) / len(shares), max(shares), len(self._before[0]), len(shares)
        )

    @torch.no_grad()
    def _chosen(self) -> list[Int[Tensor, "tokens k"]]:
        """Per layer, the experts of each token in the order of their numbers."""
        seen: dict[int, Tensor] = {}

        def keep(layer: int) -> See:
            def see(keys: Keys, _: Tensor) -> None:
                assert isinstance(keys, RoutedKeys)
                # a blank column before the texts passes first: what stays is the texts'
                seen[layer] = keys.index.sort(-1).values

            return see

        with steady(self._model), tapped(self._maps, keep):
            self._runner.top(self._batch, self._trunk)
        return [seen[layer] for layer in range(len(self._maps))]


def routing(
    model: PreTrainedModel,
    runner: Runner,
    structure: Structure,
    weights: Sequence[EditedWeight],
    tokenizer: PreTrainedTokenizerBase,
) -> Routing | None:
    """What takes readings; None where no layer above the first edited block has experts, or the text is too short."""
    first = min(w.projection.block for w in weights)
    found = [
        (p.name, module)
        for p in structure.projections
        if p.block > first and ExpertsMap.fits(module := model.get_submodule(p.name))
    ]
    if not found:
        return None
    text = drift_text()[: 16 * TOKENS]  # no tokenizer takes more characters a token on prose
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])[:TOKENS]  # type: ignore[arg-type]
    if len(ids) < 2:
        return None
    return Routing(
        model, runner, weights, [ExpertsMap(name, module) for name, module in found], ids
    )
