"""Whether the edited maps are what the algebra takes them for, tried on a few tokens before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ultraedit.errors import ModelError
from ultraedit.model.maps.base import Keys, See, tapped
from ultraedit.model.maps.experts import RoutedKeys
from ultraedit.model.quantised import packed
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


SHARE = 0.05
"""Of an output, by which it is moved to see what that does."""
FACTOR = 2.0
"""By which a gradient may differ from what is seen: quantised activations are rounded to steps."""


def check_gradients(stack: Stack, weights: Sequence[EditedWeight]) -> None:
    """Compare, where frozen weights are packed, each edited map's gradient with what a small move of its output does.

    Raises ModelError where it is zero, not finite or another: some packed weights lose the gradient without a word.
    """
    if not packed(stack.model):
        return
    rows = int(stack.decoder.get_input_embeddings().weight.shape[0])  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(0)
    draw = torch.randint(0, rows, (TOKENS,), generator=generator).tolist()
    batch = stack.batch([(draw[: TOKENS // 2], draw[TOKENS // 2 :])], [0])
    trunk = stack.trunk(batch)
    outputs: dict[int, Tensor] = {}
    moves: dict[int, Tensor] = {}

    def see(index: int) -> See:
        def seen(_: Keys, out: Tensor) -> Tensor | None:
            if not torch.is_grad_enabled():
                return out + moves[index].to(out.dtype) if _moves(index, out) else None
            outputs[index] = out if out.requires_grad else out.requires_grad_()
            return out.clone()

        return seen

    def _moves(index: int, out: Tensor) -> bool:
        return index in moves and moves[index].shape == out.shape

    def result() -> Tensor:
        hidden = stack.top(batch, trunk)[batch.answers].double()
        way = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1))
        return (hidden * way.to(hidden)).sum()

    with tapped([w.map for w in weights], see):
        with torch.enable_grad():
            total = result()
            try:
                found = torch.autograd.grad(total, [outputs[i] for i in range(len(weights))])
            except RuntimeError as error:
                raise _unusable(weights[0].name, "there is none at all") from error
        for i, (w, grad) in enumerate(zip(weights, found, strict=True)):
            size = float(grad.double().norm())
            if not size > 0 or not size < float("inf"):
                raise _unusable(w.name, "it is zero" if size == 0 else "it is not finite")
            move = grad.float() / size * float(outputs[i].detach().float().norm()) * SHARE
            seen_by = []
            with torch.no_grad():
                for sign in (1, -1):
                    moves.clear()
                    moves[i] = sign * move
                    seen_by.append(float(result()))
            expected = 2 * float((grad.double() * move.double()).sum())
            ratio = (seen_by[0] - seen_by[1]) / expected
            if not 1 / FACTOR < ratio < FACTOR:
                raise _unusable(w.name, f"a small move does {ratio:.2g} times what it says")


def _unusable(name: str, why: str) -> ModelError:
    return ModelError(
        f"'{name}' has no gradient that can be trusted through the quantised weights above it ({why}), so it cannot be "
        "edited; load the model with another quantisation, or unquantised."
    )
