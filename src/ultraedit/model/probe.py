"""Whether the edited maps are what the algebra takes them for, tried on a few tokens before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ultraedit.errors import ModelError
from ultraedit.model.maps.base import Keys, See, tapped
from ultraedit.model.maps.experts import RoutedKeys
from ultraedit.model.stack import FAILURES, Stack
from ultraedit.model.weights import EditedWeight

TOKENS = 16
ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Share of the largest output by which a map's may differ; half precision sums the experts roughly."""


@torch.no_grad()
def check_experts(stack: Stack, weights: Sequence[EditedWeight]) -> None:
    """Compare the outputs of edited experts with what their joint key and matrix give.

    Raises ModelError where they differ: a family may compute its experts in a way of its own.
    """
    experts = [w for w in weights if w.experts]
    if not experts:
        return
    wrong: list[str] = []

    def compare(index: int) -> See:
        def see(keys: Keys, out: Tensor) -> None:
            assert isinstance(keys, RoutedKeys)
            tokens = torch.arange(len(out), device=out.device)
            made = keys[tokens] @ experts[index].map.read() + keys.biases(tokens)
            error = float((made - out).abs().max())
            allowed = ROUNDING.get(out.dtype, 0.1) * float(out.abs().max())
            if not error <= allowed:
                wrong.append(experts[index].name)

        return see

    rows = int(stack.decoder.get_input_embeddings().weight.shape[0])  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, rows, (1, TOKENS), generator=generator).to(stack.device)
    with tapped([w.map for w in experts], compare):
        try:
            stack.decoder(input_ids=ids, use_cache=False)
        except FAILURES:
            wrong.append(experts[0].name)
    if wrong:
        raise ModelError(
            f"'{wrong[0]}' does not give the sum of its experts' outputs times their gates, but computes them in a way "
            "of its own, so they cannot be edited; name other modules."
        )
