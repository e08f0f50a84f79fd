"""UltraEdit exactly as published, one line of the algorithm after another: the oracle of the preset `paper`.

Written from the description in the paper (arXiv 2505.14679) and the released code's behaviour: plain right-padded
batches through the model's own forward, full backward hooks, gradients on the edited weights, a d x d solve.  Slow on
purpose and shares no code with the package.  Two things of the released code cannot be followed: it drops a turn that
is not full, and it counts the cached gradient files of a partial last micro-batch with `floor` (and would crash).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.pytorch_utils import Conv1D

MICRO_BATCH = 10
VALUE_ROWS = 128


class RunningStatistics:
    """n' = n+m ; delta = mean(z)-mu ; mu += m*delta/n' ; S += m*var(z) + n*m*delta^2/n' ; sigma = sqrt(S/(n'-1+eps))"""

    def __init__(self, size: int) -> None:
        self.n = torch.zeros(1)
        self.mean = torch.zeros(size)
        self.var = torch.zeros(size)
        self.std = torch.zeros(size)

    def update(self, z: Tensor) -> None:
        m = z.shape[0]
        total = self.n + m
        delta = z.mean(0) - self.mean
        self.mean = self.mean + m * delta / total
        self.var = self.var + m * z.var(0) + self.n * m * delta.pow(2) / total
        self.std = (self.var / (total - 1 + torch.finfo(z.dtype).eps)).sqrt()
        self.n = total

    def normalise(self, z: Tensor) -> Tensor:
        return (z - self.mean) / (self.std + torch.finfo(z.dtype).eps)


class Twin:
    """Holds a model of its own and edits it a turn at a time."""

    ridge = 1.0

    def __init__(self, model: Any, tokenizer: Any, modules: Sequence[str], eta: float) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.modules = list(modules)
        self.eta = eta
        for parameter in model.parameters():
            parameter.requires_grad = False
        for name in self.modules:
            model.get_submodule(name).weight.requires_grad = True
        self.statistics: dict[tuple[int, int], RunningStatistics] = {
            self.shape(name): RunningStatistics(sum(self.shape(name))) for name in self.modules
        }

    def shape(self, name: str) -> tuple[int, int]:
        """(d_in, d_out)"""
        module = self.model.get_submodule(name)
        rows, columns = module.weight.shape
        return (rows, columns) if isinstance(module, Conv1D) else (columns, rows)

    def turn(self, facts: Sequence[tuple[str, str]]) -> None:
        batches = self.batches(facts)
        keys: dict[str, list[Tensor]] = {name: [] for name in self.modules}
        grads: dict[str, list[Tensor]] = {name: [] for name in self.modules}
        for batch in batches:
            h, g = self.cache(batch)
            for name in self.modules:
                self.statistics[self.shape(name)].update(torch.cat((h[name], g[name]), -1))
                keys[name].append(h[name])
                grads[name].append(g[name])
        # every shift is computed before any is applied
        shifts = {
            name: self.shift(name, torch.cat(keys[name]), torch.cat(grads[name]))
            for name in self.modules
        }
        for name, shift in shifts.items():
            module = self.model.get_submodule(name)
            if isinstance(module, nn.Linear):
                shift = shift.T
            module.weight.data += shift.to(module.weight.data.dtype)
            module.weight.grad = None

    def batches(self, facts: Sequence[tuple[str, str]]) -> list[dict[str, Tensor]]:
        rows = []
        for prompt, answer in facts:
            p = self.tokenizer(prompt)["input_ids"]
            a = self.tokenizer(" " + answer, add_special_tokens=False)["input_ids"]
            ids = p + a[:-1]
            rows.append((ids, [-100] * (len(p) - 1) + a))
        rows.sort(key=lambda row: len(row[0]), reverse=True)
        out = []
        for start in range(0, len(rows), MICRO_BATCH):
            group = rows[start : start + MICRO_BATCH]
            width = max(len(ids) for ids, _ in group)
            pad = [width - len(ids) for ids, _ in group]
            out.append(
                {
                    "input_ids": torch.tensor(
                        [ids + [0] * n for (ids, _), n in zip(group, pad, strict=True)]
                    ),
                    "attention_mask": torch.tensor(
                        [[1] * len(ids) + [0] * n for (ids, _), n in zip(group, pad, strict=True)]
                    ),
                    "labels": torch.tensor(
                        [y + [-100] * n for (_, y), n in zip(group, pad, strict=True)]
                    ),
                }
            )
        return out

    def cache(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Keys and value gradients of every edited module at the answer tokens of one micro-batch."""
        at = torch.where(batch["labels"] != -100)
        layout = batch["labels"].shape
        keys: dict[str, Tensor] = {}
        grads: dict[str, Tensor] = {}
        handles = []

        def answers(x: Tensor) -> Tensor:
            # OPT flattens (batch, time) before its MLP, which the released code could not index
            return x.detach().reshape(*layout, -1)[at].float()

        for name in self.modules:

            def forward_hook(module, inputs, output, name=name):
                keys[name] = answers(inputs[0])

            def backward_hook(module, grad_inputs, grad_outputs, name=name):
                grads[name] = answers(grad_outputs[0])

            module = self.model.get_submodule(name)
            handles.append(module.register_forward_hook(forward_hook))
            handles.append(module.register_full_backward_hook(backward_hook))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            # the labels stay out of the call: transformers would shift them once more
            logits = self.model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            )["logits"]
            cross_entropy(logits[at], batch["labels"][at]).backward()
        for handle in handles:
            handle.remove()
        return keys, grads

    def shift(self, name: str, h: Tensor, g: Tensor) -> Tensor:
        d_in, d_out = self.shape(name)
        statistics = self.statistics[(d_in, d_out)]
        values = []
        for start in range(0, h.shape[0], VALUE_ROWS):
            z = torch.cat((h[start : start + VALUE_ROWS], g[start : start + VALUE_ROWS]), -1)
            h_hat, g_hat = statistics.normalise(z).split([d_in, d_out], -1)
            values.append(-self.eta * (h_hat * h_hat).sum(-1).unsqueeze(-1) * g_hat)
        gram = h.T @ h + self.ridge * torch.eye(d_in)
        return torch.linalg.solve(gram, h.T @ torch.cat(values))


class WhiteningStatistics(RunningStatistics):
    """cov += m*cov_population(g) + n*m*delta delta^T/n', and the same for the variances"""

    def __init__(self, size: int, value_size: int) -> None:
        super().__init__(size)
        self.value_size = value_size
        self.cov = torch.zeros(value_size, value_size)
        self.warm = False

    def update(self, z: Tensor) -> None:
        m = z.shape[0]
        total = self.n + m
        delta = z.mean(0) - self.mean
        self.mean = self.mean + m * delta / total
        self.var = self.var + m * z.var(0, unbiased=False) + self.n * m * delta.pow(2) / total
        self.std = (self.var / (total - 1 + torch.finfo(z.dtype).eps)).sqrt()
        g = z[:, -self.value_size :]
        d = delta[-self.value_size :]
        batch = torch.cov(g.T, correction=0).reshape(self.cov.shape)
        self.cov = self.cov + m * batch + self.n * m * torch.outer(d, d) / total
        self.n = total

    def normalise(self, z: Tensor) -> Tensor:
        eps = torch.finfo(z.dtype).eps
        plain = (z - self.mean) / (self.std + eps)
        if not self.warm or self.n <= self.value_size + 1:
            return plain
        values, vectors = torch.linalg.eigh(self.cov / (self.n - self.value_size - 1 + eps))
        root = vectors @ torch.diag(values.clamp(min=1e-6).rsqrt()) @ vectors.T
        keys, grads = z.split([z.shape[1] - self.value_size, self.value_size], -1)
        mean_k, mean_g = self.mean.split([keys.shape[1], self.value_size])
        std_k = self.std[: keys.shape[1]]
        return torch.cat([(keys - mean_k) / (std_k + eps), (grads - mean_g) @ root], -1)


class StableTwin(Twin):
    """StableEdit (arXiv 2605.11836) as released: the oracle of the preset `stableedit`.

    Turns are warm-up turns until `warm` is called.
    """

    ridge = 10.0

    def __init__(self, model: Any, tokenizer: Any, modules: Sequence[str], eta: float) -> None:
        super().__init__(model, tokenizer, modules, eta)
        self.statistics = {
            shape: WhiteningStatistics(sum(shape), shape[1]) for shape in self.statistics
        }

    def warm(self) -> None:
        for statistics in self.statistics.values():
            assert isinstance(statistics, WhiteningStatistics)
            statistics.warm = True
