"""A layer of experts by its sizes, for planning only: torch knows the sizes of grouped products in bfloat16 alone."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from ultraedit.model.maps.experts import ExpertsMap

NAME = "ultraedit_sizes"


def run_by_sizes(model: PreTrainedModel) -> None:
    """Have every layer of experts take as much memory as grouped products do, through the first expert's matrices."""
    if any(ExpertsMap.fits(m) for m in model.modules()):
        ALL_EXPERTS_FUNCTIONS.register(NAME, _sizes)
        model.set_experts_implementation(NAME)


def _sizes(
    module: Any,
    hidden: Float[Tensor, "n d"],
    index: Int[Tensor, "n k"],
    gates: Float[Tensor, "n k"],
) -> Float[Tensor, "n d"]:
    up = module.gate_up_proj if module.has_gate else module.up_proj
    inner = _product(module, hidden.repeat_interleave(index.shape[1], 0), up)
    inner = module._apply_gate(inner) if module.has_gate else module.act_fn(inner)
    out = _product(module, inner, module.down_proj) * gates.flatten()[:, None]
    return out.view(*index.shape, -1).sum(1).to(hidden.dtype)


def _product(module: Any, x: Tensor, weight: Tensor) -> Tensor:
    first = weight[0]
    return nn.functional.linear(x, first.T if module.is_transposed else first)
