"""The down projections of a layer's experts, as the one linear map that they are together.

A token x is routed to some experts e with gates g_e, and the layer gives the sum of g_e W_e h_e(x).  That is one matrix
[W_1 ... W_E] times one joint key [g_1 h_1 ... g_E h_E], which is zero in the blocks of the experts that the token does
not go to.  So all experts are edited by one system of n rows, exactly: what one expert takes over of an answer the
others need not, and what a turn must not move is the layer's output and not each expert's.

transformers 5 keeps the experts of a layer as tensors of three dimensions on one module, whatever function runs them
(`ALL_EXPERTS_FUNCTIONS`).  Nothing of that is replaced: a hook sees what goes into the module and what comes out, and
the joint keys of the tokens that are asked for are made from that by the module's own gate_up weights and gate.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.hooks import RemovableHandle

from ultraedit.core.solve import Update
from ultraedit.errors import ModelError
from ultraedit.model.maps.base import See, exact
from ultraedit.model.maps.weight import CHUNK_ROWS, WeightMap

FLAGS = ("has_gate", "has_bias", "is_transposed")
"""What transformers' `use_experts_implementation` writes onto a module to say how its experts lie."""

CHUNK_NUMBERS = 2**21
"""Entries written at a time: 8 MB in fp32."""


class ExpertsMap(WeightMap):
    """`down_proj` of a module of experts: E x d_out x d_ff, or E x d_ff x d_out where it is transposed.

    d_in is E * d_ff.  The rows are the experts' own rows, one expert after the other.
    """

    key = "down_proj"

    @classmethod
    def fits(cls, module: nn.Module) -> bool:
        down, up = (module._parameters.get(key) for key in (cls.key, _up_name(module)))
        return (
            down is not None
            and up is not None
            and down.ndim == up.ndim == 3
            and all(hasattr(module, flag) for flag in FLAGS)
            # a norm behind each expert makes the layer no longer linear in the experts' weights
            and not getattr(module, "has_post_expert_norm", False)
        )

    @staticmethod
    def shape_of(module: nn.Module) -> tuple[int, int]:
        count, *block = tuple(cast(Tensor, module.down_proj).shape)
        d_ff, d_out = block if module.is_transposed else block[::-1]
        return count * d_ff, d_out

    def __init__(self, name: str, module: nn.Module) -> None:
        """Raises ModelError where the weight cannot be written in place, as `WeightMap`."""
        super().__init__(name, module)
        self.transposed = bool(module.is_transposed)
        if not self.parameter.is_contiguous():
            raise ModelError(
                f"'{name}' holds its experts' weights as a view with gaps, which cannot be written in place; load the "
                "model anew, or name other modules."
            )

    @property
    def experts(self) -> int:
        return self.parameter.shape[0]

    @property
    def chunk_rows(self) -> int:
        """Experts are narrow and have many rows."""
        return max(CHUNK_ROWS, CHUNK_NUMBERS // self.parameter.shape[-1])

    def read(self) -> Float[Tensor, "d_in d_out"]:
        blocks = exact(self.parameter.detach())
        return (blocks if self.transposed else blocks.transpose(1, 2)).flatten(0, 1)

    def rows_of(self, update: Update, rows: slice) -> Float[Tensor, "_ c"]:
        if self.transposed:
            return super().rows_of(update, rows)
        _, d_out, d_ff = self.parameter.shape
        low, high, _ = rows.indices(self.experts * d_out)
        found = update.left.new_empty(high - low, d_ff)
        for e in range(low // d_out, -(-high // d_out)):
            begin, end = max(low, e * d_out), min(high, (e + 1) * d_out)
            out = update.right[:, begin - e * d_out : end - e * d_out]
            found[begin - low : end - low] = out.T @ update.left[:, e * d_ff : (e + 1) * d_ff]
        return found

    def tap(self, see: See) -> RemovableHandle:
        module = self.module
        signature = inspect.signature(type(module).forward)

        def hook(
            _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
        ) -> Tensor | None:
            given = list(signature.bind(module, *args, **kwargs).arguments.values())
            hidden, index, gates = given[1:4]
            return see(RoutedKeys(module, hidden.detach(), index, gates.detach()), out)

        return module.register_forward_hook(hook, with_kwargs=True)


class RoutedKeys:
    """The joint keys of the tokens that ran through a module of experts: how each was routed, and with what.

    Rows are made for the tokens that are asked for.  All of a batch's would take E / k times the room of its inner
    activations, and most of them are not edited.
    """

    ndim = 2

    def __init__(
        self,
        module: nn.Module,
        hidden: Float[Tensor, "tokens d"],
        index: Int[Tensor, "tokens k"],
        gates: Float[Tensor, "tokens k"],
    ) -> None:
        self.module: Any = module
        self.hidden = hidden
        self.index = index
        self.gates = gates

    @property
    def device(self) -> torch.device:
        return self.hidden.device

    def detach(self) -> RoutedKeys:
        return self

    @torch.no_grad()
    def __getitem__(self, tokens: Int[Tensor, " n"]) -> Float[Tensor, "n d_in"]:
        count, d_ff = self._count, ExpertsMap.shape_of(self.module)[0] // self._count
        hidden, index, gates = (x[tokens] for x in (self.hidden, self.index, self.gates))
        made = exact(hidden.new_empty(0, dtype=self.module.down_proj.dtype)).new_zeros(
            len(tokens), count, d_ff
        )
        places, slots = index.flatten().sort(stable=True)
        ends = (places[:, None] <= torch.arange(count, device=index.device)).sum(0)
        begin = 0
        for e, end in enumerate(ends.tolist()):
            slot = slots[begin:end]
            begin = end
            if len(slot):
                token = slot // index.shape[1]
                inner = self._inner(e, hidden[token])
                gate = gates.flatten()[slot, None].to(made.dtype)
                made[:, e].index_add_(0, token, gate * inner.to(made.dtype))
        return made.flatten(1)

    @torch.no_grad()
    def biases(self, tokens: Int[Tensor, " n"]) -> Float[Tensor, "n d_out"] | float:
        """What of the output does not come from the keys."""
        if not self.module.has_bias:
            return 0.0
        chosen = exact(self.module.down_proj_bias)[self.index[tokens]]
        return (chosen * self.gates[tokens][..., None].to(chosen.dtype)).sum(1)

    @property
    def _count(self) -> int:
        return self.module.down_proj.shape[0]

    def _inner(self, e: int, hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n d_ff"]:
        """h_e, as every function that runs experts computes it."""
        module, name = self.module, _up_name(self.module)
        weight = getattr(module, name)[e]
        bias = getattr(module, f"{name}_bias")[e] if module.has_bias else None
        up = linear(hidden.to(weight.dtype), weight.T if module.is_transposed else weight, bias)
        return module._apply_gate(up) if module.has_gate else module.act_fn(up)


def _up_name(module: nn.Module) -> str:
    return "gate_up_proj" if getattr(module, "has_gate", True) else "up_proj"
