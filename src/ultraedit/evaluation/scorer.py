"""The teacher-forced pass: how likely each answer token is, and whether it is the model's first
choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ultraedit.core.labels import score_labels
from ultraedit.evaluation.forward import Forward, pad_right
from ultraedit.model.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int
    from transformers import PreTrainedModel

    from ultraedit.evaluation.text import TokenPair

_HEAD_ROWS = 128  # rows of logits held at once: 128 x 49,152 floats are 25 MB


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What the model makes of one answer of L tokens.  All tensors are on the CPU."""

    logprobs: Float[Tensor, "L"]
    """Natural log-probability of each answer token given the prompt and the answer tokens before
    it."""
    argmax: Int[Tensor, "L"]
    """The model's first choice at each answer position."""
    target: tuple[int, ...]
    states: Float[Tensor, "L width"] | None = None
    """Last hidden states at the answer positions, in the model's dtype, where asked for
    (`Scorer.score`)."""

    @property
    def hits(self) -> list[bool]:
        """Per position: is the answer's token the first choice?"""
        return [a == t for a, t in zip(self.argmax.tolist(), self.target, strict=True)]

    @property
    def token_accuracy(self) -> float:
        return sum(self.hits) / len(self.target)

    @property
    def exact(self) -> bool:
        return all(self.hits)

    @property
    def first_token(self) -> bool:
        return self.hits[0]

    @property
    def mean_logprob(self) -> float:
        return float(self.logprobs.mean())


class Scorer(Protocol):
    """The teacher-forced pass, behind a protocol so that one that reuses cached activations can
    take its place."""

    def score(self, pairs: Sequence[TokenPair], *, states: bool = False) -> list[TokenScores]:
        """One `TokenScores` per pair, in the order given; `states` keeps the last hidden states."""
        ...

    def logprobs(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """The full log-softmax (float32, CPU) that belongs to some kept states."""
        ...


class ModelScorer:
    """The plain scorer: length-sorted micro-batches, right padding, logits at the answer positions
    only.

    `batch` is the number of pairs a micro-batch holds at most and `tokens` the number of padded
    tokens; neither changes a score beyond rounding.
    """

    def __init__(self, model: PreTrainedModel, *, batch: int = 25, tokens: int = 4096) -> None:
        self.forward = Forward(model)
        self._batch = batch
        self._tokens = tokens

    @torch.no_grad()
    def score(self, pairs: Sequence[TokenPair], *, states: bool = False) -> list[TokenScores]:
        """See `Scorer.score`.  Raises DataError when a pair is longer than the model's context."""
        results: list[TokenScores | None] = [None] * len(pairs)
        for chosen in self._batches(pairs):
            # the last answer token is predicted, never read
            rows = [(*pairs[i].prompt, *pairs[i].target[:-1]) for i in chosen]
            ids, mask = pad_right(rows)
            with steady(self.forward.model):
                hidden, _ = self.forward.run(ids, mask)
            at = [
                (b, len(pairs[i].prompt) - 1 + j)
                for b, i in enumerate(chosen)
                for j in range(len(pairs[i].target))
            ]
            b, p = torch.tensor(at).T
            kept = hidden[b.to(hidden.device), p.to(hidden.device)]
            labels = torch.tensor([t for i in chosen for t in pairs[i].target])
            with steady(self.forward.model):
                values, choices = read_logits(self.forward.logits, kept, labels)
            start = 0
            for i in chosen:
                end = start + len(pairs[i].target)
                results[i] = TokenScores(
                    # cloned: a view would keep the whole micro-batch alive
                    logprobs=values[start:end].clone(),
                    argmax=choices[start:end].clone(),
                    target=tuple(pairs[i].target),
                    states=kept[start:end].cpu().clone() if states else None,
                )
                start = end
        return [r for r in results if r is not None]

    @torch.no_grad()
    def logprobs(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """See `Scorer.logprobs`."""
        with steady(self.forward.model):
            return self.forward.logits(states).float().log_softmax(-1).cpu()

    def _batches(self, pairs: Sequence[TokenPair]) -> list[list[int]]:
        lengths = [len(p.prompt) + len(p.target) - 1 for p in pairs]
        batches: list[list[int]] = []
        for i in sorted(range(len(pairs)), key=lambda k: lengths[k]):
            self.forward.fits(lengths[i], "a prompt and its answer")
            full = not batches or len(batches[-1]) >= self._batch
            if full or (len(batches[-1]) + 1) * lengths[i] > self._tokens:
                batches.append([])
            batches[-1].append(i)
        return batches


def read_logits(
    head: Callable[[Tensor], Tensor],
    states: Float[Tensor, "rows width"],
    labels: Int[Tensor, "rows"],
) -> tuple[Float[Tensor, "rows"], Int[Tensor, "rows"]]:
    """Log-probability of each label and the first choice, on the CPU; a part of the logits at a
    time."""
    values, choices = [], []
    for part, label in zip(states.split(_HEAD_ROWS), labels.split(_HEAD_ROWS), strict=True):
        logits = head(part)
        found = score_labels(logits, label.to(logits.device), slope=False)
        values.append(found.log_probs.cpu())
        choices.append(found.choices.cpu())
    return torch.cat(values), torch.cat(choices)
