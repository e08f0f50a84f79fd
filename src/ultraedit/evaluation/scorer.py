"""The teacher-forced pass: how likely each answer token is, and whether it is the model's first
choice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ultraedit.errors import DataError
from ultraedit.evaluation.forward import Forward
from ultraedit.model.context import context_length
from ultraedit.model.replace import head_logits
from ultraedit.model.runner.answers import score_answers
from ultraedit.model.runner.rows import ids_device, pad_right
from ultraedit.model.steady import steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from transformers import PreTrainedModel

    from ultraedit.evaluation.text import TokenPair


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What the model makes of one answer of L tokens.  All tensors are on the CPU."""

    logprobs: Float[Tensor, " L"]
    """Natural log-probability of each answer token given the prompt and the answer tokens before
    it."""
    argmax: Int[Tensor, " L"]
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


class BatchedScorer(ABC):
    """What scorers of a live model share: micro-batches of like length, and the head at the answer positions only.

    A micro-batch holds at most `batch` pairs and `tokens` padded tokens; neither changes a score beyond rounding.
    """

    def __init__(self, model: PreTrainedModel, *, batch: int, tokens: int) -> None:
        self._model = model
        self._context = context_length(model)
        self._batch = batch
        self._tokens = tokens

    @abstractmethod
    def _states(self, pairs: Sequence[TokenPair]) -> Float[Tensor, "rows width"]:
        """Last hidden states at the answer positions of a micro-batch, pair by pair."""

    def _score(
        self, pairs: Sequence[TokenPair], batches: Sequence[list[int]], keep: bool
    ) -> list[TokenScores]:
        """Scores in the order of the pairs; `keep` their states."""
        results: list[TokenScores | None] = [None] * len(pairs)
        for chosen in batches:
            labels = torch.tensor([t for i in chosen for t in pairs[i].target])
            with steady(self._model):
                states = self._states([pairs[i] for i in chosen])
                found = score_answers(lambda rows: head_logits(self._model, rows), states, labels)
            values, choices = found.log_probs.cpu(), found.choices.cpu()
            start = 0
            for i in chosen:
                end = start + len(pairs[i].target)
                results[i] = TokenScores(
                    # cloned: a view would keep the whole micro-batch alive
                    logprobs=values[start:end].clone(),
                    argmax=choices[start:end].clone(),
                    target=tuple(pairs[i].target),
                    states=states[start:end].cpu().clone() if keep else None,
                )
                start = end
        return [r for r in results if r is not None]

    @torch.no_grad()
    def logprobs(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """See `Scorer.logprobs`."""
        device = ids_device(self._model)
        with steady(self._model):
            return head_logits(self._model, states.to(device)).float().log_softmax(-1).cpu()

    def _batches(self, pairs: Sequence[TokenPair], rows: Sequence[int]) -> list[list[int]]:
        """Micro-batches of some of the pairs.  Raises DataError for one that is longer than the model's context."""
        lengths = {i: len(pairs[i].prompt) + len(pairs[i].target) - 1 for i in rows}
        batches: list[list[int]] = []
        for i in sorted(rows, key=lambda k: (lengths[k], self._rank(pairs[k]))):
            if lengths[i] > self._context:
                raise DataError(
                    f"a prompt and its answer has {lengths[i]} tokens, more than the model's context of "
                    f"{self._context}: shorten it."
                )
            full = not batches or len(batches[-1]) >= self._batch
            if full or (len(batches[-1]) + 1) * lengths[i] > self._tokens:
                batches.append([])
            batches[-1].append(i)
        return batches

    def _rank(self, pair: TokenPair) -> int:
        """What orders pairs of one length."""
        return 0


class ModelScorer(BatchedScorer):
    """The plain scorer: whole forwards, with right padding."""

    def __init__(self, model: PreTrainedModel, *, batch: int = 25, tokens: int = 4096) -> None:
        super().__init__(model, batch=batch, tokens=tokens)
        self.forward = Forward(model)

    @torch.no_grad()
    def score(self, pairs: Sequence[TokenPair], *, states: bool = False) -> list[TokenScores]:
        """See `Scorer.score`.  Raises DataError when a pair is longer than the model's context."""
        return self._score(pairs, self._batches(pairs, range(len(pairs))), states)

    def _states(self, pairs: Sequence[TokenPair]) -> Float[Tensor, "rows width"]:
        # the last answer token is predicted, never read
        ids, mask = pad_right([(*pair.prompt, *pair.target[:-1]) for pair in pairs])
        hidden, _ = self.forward.run(ids, mask)
        at = [
            (row, len(pair.prompt) - 1 + j)
            for row, pair in enumerate(pairs)
            for j in range(len(pair.target))
        ]
        row, column = torch.tensor(at).T.to(hidden.device)
        return hidden[row, column]
