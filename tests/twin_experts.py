"""Editing a layer of experts, one token and one expert after the other: the oracle of `model/maps/experts.py`.

Written from the algebra, in float64 and with plain loops: the layer's output is the sum of g_e W_e h_e, a token's joint
key is [g_1 h_1 ... g_E h_E], and each expert's change is its block of the d_in x d_in solve.  The statistics and values
are those of `twin.py`.  Shares no code with the package.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from twin import RunningStatistics, Twin


def inner(module: Any, e: int, x: Tensor) -> Tensor:
    """h_e of one token."""
    if module.is_transposed:  # gpt-oss: gate and up interleaved, biased, clamped
        both = module.gate_up_proj[e].T @ x + module.gate_up_proj_bias[e]
        gate, up = both[::2], both[1::2]
        gate, up = gate.clamp(max=module.limit), up.clamp(min=-module.limit, max=module.limit)
        return (up + 1) * gate * torch.sigmoid(gate * module.alpha)
    both = module.gate_up_proj[e] @ x
    half = len(both) // 2
    return module.act_fn(both[:half]) * both[half:]


def out(module: Any, e: int, h: Tensor) -> Tensor:
    """What one expert makes of its inner activations."""
    if module.is_transposed:
        return module.down_proj[e].T @ h + module.down_proj_bias[e]
    return module.down_proj[e] @ h


def run(module: Any, hidden: Tensor, index: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
    """A layer's output and joint keys, token by token."""
    outputs, keys = [], []
    for x, experts, weights in zip(hidden, index.tolist(), gates, strict=True):
        y = torch.zeros_like(x)
        width = module.down_proj.shape[1 if module.is_transposed else 2]
        key = torch.zeros(module.down_proj.shape[0], width, dtype=x.dtype)
        for e, g in zip(experts, weights, strict=True):
            h = inner(module, e, x)
            y = y + g * out(module, e, h)
            key[e] += (g * h).detach()
        outputs.append(y)
        keys.append(key.flatten())
    return torch.stack(outputs), torch.stack(keys)


class ExpertsTwin(Twin):
    """The published method on the joint keys of experts."""

    def __init__(self, model: Any, tokenizer: Any, modules: list[str], eta: float) -> None:
        self.model = model.double().eval().requires_grad_(False)
        model.set_experts_implementation(
            "eager"
        )  # of the other layers; grouped products know no float64
        self.tokenizer = tokenizer
        self.modules = modules
        self.eta = eta
        self.statistics = {
            self.shape(name): RunningStatistics(sum(self.shape(name))) for name in modules
        }
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}
        for name in modules:
            module = model.get_submodule(name)

            def forward(
                hidden: Tensor, index: Tensor, gates: Tensor, name: str = name, module: Any = module
            ) -> Tensor:
                y, keys = run(module, hidden, index, gates)
                if not y.requires_grad:
                    y.requires_grad_()
                y.retain_grad()
                self.seen[name] = keys, y
                return y

            module.forward = forward

    def shape(self, name: str) -> tuple[int, int]:
        module = self.model.get_submodule(name)
        count, a, b = module.down_proj.shape
        return (count * a, b) if module.is_transposed else (count * b, a)

    def cache(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        at = torch.where(batch["labels"] != -100)
        flat = at[0] * batch["labels"].shape[1] + at[1]
        logits = self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[
            "logits"
        ]
        cross_entropy(logits[at], batch["labels"][at]).backward()
        keys = {name: keys[flat] for name, (keys, _) in self.seen.items()}
        grads = {name: y.grad[flat] for name, (_, y) in self.seen.items()}  # type: ignore[index]
        return keys, grads

    def turn(self, facts: Any) -> None:
        batches = [self.cache(batch) for batch in self.batches(facts)]
        keys = {n: torch.cat([k[n] for k, _ in batches]) for n in self.modules}
        grads = {n: torch.cat([g[n] for _, g in batches]) for n in self.modules}
        for name in self.modules:
            for k, g in batches:
                self.statistics[self.shape(name)].update(torch.cat((k[name], g[name]), -1))
        for name in self.modules:
            module = self.model.get_submodule(name)
            delta = self.shift(name, keys[name], grads[name])  # d_in x d_out
            for e, block in enumerate(delta.split(len(delta) // len(module.down_proj))):
                module.down_proj[e] += block if module.is_transposed else block.T
