"""A stand-in for linear maps in 4 and 8 bits, with their sizes and their scratch, for planning only.

Modelled on bitsandbytes.  4 bits are NF4 with double quantisation (QLoRA, arXiv 2305.14314): half a byte a weight, one
byte a block of 64 weights for its scale, four bytes a block of 256 scales.  8 bits are a byte a weight and four a row.
Every use unpacks the whole matrix into the compute dtype and drops it again, in the forward and once more in the
backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 64
SCALE_BLOCK = 256


class PackedLinear(nn.Module):
    """Sizes of a quantised nn.Linear.  Holds no meaningful weights."""

    def __init__(self, linear: nn.Linear, bits: int) -> None:
        super().__init__()
        count = linear.weight.numel()
        device = linear.weight.device
        self.shape = (linear.out_features, linear.in_features)
        self.dtype = linear.weight.dtype
        self.bias = linear.bias
        self.packed = torch.empty(-(-count * bits // 8), dtype=torch.uint8, device=device)
        outer = linear.out_features
        if bits == 4:
            scales = -(-count // BLOCK)
            self.scales = torch.empty(scales, dtype=torch.uint8, device=device)
            outer = -(-scales // SCALE_BLOCK)
        self.outer = torch.empty(outer, dtype=torch.float32, device=device)

    def unpack(self) -> Tensor:
        return torch.empty(self.shape, dtype=self.dtype, device=self.packed.device)

    def forward(self, x: Tensor) -> Tensor:
        out = _Product.apply(x, self)
        return out if self.bias is None else out + self.bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLinear) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.unpack())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] @ ctx.layer.unpack(), None


def quantise(root: nn.Module, keep: set[nn.Module], bits: int) -> None:
    """Replace every nn.Linear under `root` but those in `keep`.  Experts in one tensor stay, as with bitsandbytes."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child not in keep:
                setattr(parent, name, PackedLinear(child, bits))
