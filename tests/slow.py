"""The improved form done the slow and obvious way: the oracle of the default method.

Every edit runs alone through the model's own forward, without padding or caches; statistics are recomputed from all
gradients ever seen; the metric is a dense d x d matrix and is solved as one.  Shares no code with the package but the
settings it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

WINDOW = 128


class SlowEditor:
    """Edits its own model.  All arithmetic after the backward pass is in fp64."""

    def __init__(  # noqa: PLR0913 - every number of the reference is given by name
        self,
        model: Any,
        tokenizer: Any,
        modules: Sequence[str],
        *,
        step: float,
        steps: int,
        ridge: float,
        text_weight: float,
        history: bool,
        text: str,
        prompt_tokens: int = 0,
        horizon: float = 0.0,
        whiten: bool = False,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.modules = {name: model.get_submodule(name) for name in modules}
        self.step, self.steps, self.ridge, self.remember = step, steps, ridge, history
        self.prompt_tokens, self.horizon, self.whiten = prompt_tokens, horizon, whiten
        self.enough = 0.8  # how probable every token of an answer is once it is learned
        self.history: dict[str, list[Tensor]] = {name: [] for name in modules}
        self.metric: dict[str, Tensor] = {}
        self.text_metric: dict[str, Tensor] = {}
        self.output_norm: dict[str, float] = {}
        self.measure_text(text, text_weight)

    def measure_text(self, text: str, weight: float) -> None:
        """M = I + weight * mean of key' key over the text; the output norm leaves out each window's first token."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        keys: dict[str, list[Tensor]] = {name: [] for name in self.modules}
        outputs: dict[str, list[Tensor]] = {name: [] for name in self.modules}
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            if len(window) < 2:
                continue
            seen_keys, seen_outputs, _ = self.run(window)
            for name in self.modules:
                keys[name].append(seen_keys[name])
                out = seen_outputs[name].detach().double()
                outputs[name].append(out.reshape(len(window), -1)[1:])
        for name in self.modules:
            k, out = torch.cat(keys[name]), torch.cat(outputs[name])
            identity = torch.eye(k.shape[1], dtype=torch.float64)
            self.metric[name] = identity + weight * k.T @ k / k.shape[0]
            self.output_norm[name] = out.square().sum(1).mean().sqrt().item()
        self.text_metric = dict(self.metric)

    def run(
        self, ids: list[int], kept: int = 0
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """(keys, outputs that gradients can be asked of, logits) of one sequence, T rows each.

        The first `kept` tokens go through the edited maps as those were when last all was run.
        """
        keys: dict[str, Tensor] = {}
        outputs: dict[str, Tensor] = {}
        handles = []
        for name, module in self.modules.items():

            def hook(module, inputs, output, name=name):
                if kept:
                    flat = inputs[0].detach().reshape(len(ids), -1)[:kept]
                    matrix = self.started[name]
                    matrix = matrix.T if isinstance(module, nn.Linear) else matrix
                    old = flat @ matrix if module.bias is None else flat @ matrix + module.bias
                    new = output.reshape(len(ids), -1)[kept:]
                    output = torch.cat([old, new]).reshape(output.shape)
                keys[name] = inputs[0].detach().reshape(len(ids), -1).double()
                # the graph begins at the first edited output, because every weight is frozen
                outputs[name] = output if output.requires_grad else output.requires_grad_()
                return output

            handles.append(module.register_forward_hook(hook))
        logits = self.model(input_ids=torch.tensor([ids])).logits[0]
        for handle in handles:
            handle.remove()
        return keys, outputs, logits

    def rows(
        self, prompt: str, target: str, fresh: int | None = None, more: Sequence[int] = ()
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float, float]:
        """Keys and gradients at the answer positions of one edit and at the positions `more`, the probability of its
        answer, and that of its least probable token, the end token included.

        All but the last `fresh` tokens go through the maps as those were.
        """
        p = self.tokenizer(prompt)["input_ids"]
        answer = self.tokenizer(" " + target, add_special_tokens=False)["input_ids"]
        labels = torch.tensor([*answer, self.tokenizer.eos_token_id])
        kept = 0 if fresh is None else max(len(p) + len(answer) - fresh, 0)
        keys, outputs, logits = self.run([*p, *answer], kept)
        at = slice(len(p) - 1, None)
        names = list(self.modules)
        loss = cross_entropy(logits[at], labels, reduction="sum")
        grads = torch.autograd.grad(loss, [outputs[name] for name in names])
        width = len(p) + len(answer)
        edited = [*range(len(p) - 1, width), *more]
        found = {
            n: g.reshape(width, -1)[edited].double() for n, g in zip(names, grads, strict=True)
        }
        log_probs = logits[at].detach().log_softmax(-1).gather(1, labels[:, None])
        answer_alone = log_probs[:-1].sum().exp().item()
        taken = {n: keys[n][edited] for n in names}
        return taken, found, answer_alone, log_probs.min().exp().item()

    def leading(self, facts: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Of each fact the positions in its prompt, but for the first and the last, where the gradient is largest:
        squared norms over those usual at the turn's answer tokens, summed over the maps."""
        if not self.prompt_tokens:
            return [[] for _ in facts]
        inside = [range(1, len(self.tokenizer(prompt)["input_ids"]) - 1) for prompt, _ in facts]
        grads = [self.rows(*fact, more=at)[1] for fact, at in zip(facts, inside, strict=True)]
        sizes = [torch.zeros(len(at), dtype=torch.float64) for at in inside]
        for name in self.modules:
            squares = [g[name].square().sum(1) for g in grads]
            answers = [s[: len(s) - len(at)] for s, at in zip(squares, inside, strict=True)]
            usual = torch.cat(answers).mean()
            for size, square, at in zip(sizes, squares, inside, strict=True):
                size += square[len(square) - len(at) :] / usual
        return [
            sorted(at[j] for j in size.argsort(descending=True)[: self.prompt_tokens].tolist())
            for at, size in zip(inside, sizes, strict=True)
        ]

    def turn(
        self, facts: Sequence[tuple[str, str]], fresh: Sequence[int]
    ) -> tuple[list[float], list[float]]:
        """Write one turn.  Returns the answers' probabilities before and after.

        fresh: of each fact, how many of its last tokens are run in every step; the others are every third.
        """
        before: list[float] = []
        H: dict[str, Tensor] = {}
        learned = [False] * len(facts)
        chosen = self.leading(facts)
        for number in range(self.steps):
            keep = number > 0 and (self.steps - 1 - number) % 3 != 0
            if not keep:
                self.started = {name: m.weight.data.clone() for name, m in self.modules.items()}
            traced = [
                self.rows(*fact, fresh=n if keep else None, more=more)
                for fact, n, more in zip(facts, fresh, chosen, strict=True)
            ]
            if number == 0:
                before = [probability for _, _, probability, _ in traced]
                for name in self.modules:
                    self.history[name] += [grads[name] for _, grads, _, _ in traced]
                    H[name] = torch.cat([keys[name] for keys, _, _, _ in traced])  # for all steps
            shifts = {}
            for name in self.modules:
                wanted = [  # nothing is asked of an edit once it is learned
                    torch.zeros_like(grads[name]) if done else grads[name]
                    for done, (_, grads, _, _) in zip(learned, traced, strict=True)
                ]
                shifts[name] = self.solve(name, H[name], torch.cat(wanted))
            learned = [
                done or least >= self.enough
                for done, (_, _, _, least) in zip(learned, traced, strict=True)
            ]
            for name, shift in shifts.items():
                module = self.modules[name]
                weight = module.weight.data
                weight += (shift.T if isinstance(module, nn.Linear) else shift).to(weight.dtype)
        if self.remember:
            for name in self.modules:
                keep = math.exp(-len(H[name]) / self.horizon) if self.horizon else 1.0
                text = self.text_metric[name]
                past = keep * (self.metric[name] - text)
                self.metric[name] = text + past + H[name].T @ H[name]
        return before, [self.rows(*fact)[2] for fact in facts]

    def solve(self, name: str, H: Tensor, G: Tensor) -> Tensor:
        """(H'H + ridge M)^-1 H'V"""
        past = torch.cat(self.history[name])
        if self.whiten:
            covariance = past.T @ past / len(past)
            mean = covariance.diagonal().mean()
            shrunk = 0.7 * covariance + 0.3 * mean * torch.eye(len(covariance))
            values, vectors = torch.linalg.eigh(shrunk)
            root = vectors @ torch.diag(values**-0.5) @ vectors.T
            usual = (past @ root).square().mean().sqrt()
            scaled = G @ root / usual
        else:
            size = past.square().mean(0).sqrt()
            scaled = G / size.clamp(min=1e-3 * size.mean().item() + 1e-12)
        typical = G.shape[1] ** 0.5
        scaled = torch.stack(
            [row * min(1.0, 3.0 * typical / max(row.norm().item(), 1e-30)) for row in scaled]
        )
        V = -self.step * self.output_norm[name] / typical * scaled
        return torch.linalg.solve(H.T @ H + self.ridge * self.metric[name], H.T @ V)
