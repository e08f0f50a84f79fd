"""Rows that are run together: their prompts first, chunk by chunk, then a token of each at a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.model.columns import counts_by_column
from ultraedit.model.find import decoder_of
from ultraedit.model.keeps import kept, new_cache
from ultraedit.model.positions import first_position
from ultraedit.model.replace import head_logits
from ultraedit.model.runner.rows import ids_device
from ultraedit.serving.asks import Ask, Ended, Ending, Piece, Scored, Wish
from ultraedit.serving.rows import RowsCache
from ultraedit.serving.sampling import Chooser, Likelihood, likelihoods
from ultraedit.serving.text import Growing, Stops
from ultraedit.serving.versions import Version

SCORED_AT_ONCE = 64
"""Prompt tokens whose logits over the whole vocabulary are in memory together."""


@dataclass(frozen=True, eq=False)
class Runner:
    """The model, and what is known of how it is run."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stop_ids: frozenset[int]

    @cached_property
    def joins(self) -> bool:
        """Whether rows can be put together and taken apart: what a family keeps is keys and values alone, and padding
        in front of a row changes nothing."""
        return kept(self.model) == "keys and values" and not counts_by_column(self.model)

    def cache(self) -> Cache | None:
        """What a batch keeps from token to token; None for a family that has to run all tokens again."""
        if self.joins:
            return RowsCache(len(DynamicCache(config=decoder_of(self.model).config).layers))
        return new_cache(self.model)

    @property
    def device(self) -> torch.device:
        """Where ids go."""
        return ids_device(self.model)


class Row:
    """One choice while it is generated."""

    def __init__(self, ask: Ask, choice: int, runner: Runner) -> None:
        self.ask = ask
        self.choice = choice
        self.prompt = ask.prompts[choice]
        self.wish: Wish = ask.wishes[choice]
        self.over: Ending | None = None
        self.scored: list[Likelihood] = []
        self.last = self.prompt[-1]
        self._runner = runner
        self._count = 0
        self._chooser = Chooser(self.wish.temperature, self.wish.top_p, self.wish.seed)
        self._growing = Growing(runner.tokenizer, self.prompt)
        self._stops = Stops(self.wish.stops)

    def begin(self) -> None:
        """The prompt is through."""
        if self.wish.score_prompt:
            self.ask.deliver(Scored(self.choice, tuple(self.scored)))
        if self.wish.max_tokens == 0:
            self._end("length")

    def take(self, logits: Float[Tensor, " vocab"], greedy: int) -> None:
        """Choose the next token, and give out the text that it completes."""
        token = self._chooser.choose(logits, greedy)
        self.last = token
        self._count += 1
        if token in self._runner.stop_ids:
            self._end("stop")
            return
        likely: tuple[Likelihood, ...] = ()
        if self.wish.logprobs is not None:
            likely = tuple(likelihoods(logits[None], [token], self.wish.logprobs))
        text, met = self._stops.add(self._growing.add(token))
        if met:
            self._give(text, token, likely)
            self.over = "stop"
            self.ask.deliver(Ended(self.choice, "stop", self._count))
            return
        self._give(text, token, likely)
        if self._count >= self.wish.max_tokens:
            self._end("length")

    def _give(self, text: str, token: int, likely: tuple[Likelihood, ...]) -> None:
        self.ask.deliver(Piece(self.choice, text, (token,), likely))

    def _end(self, why: Ending) -> None:
        text, met = self._stops.add(self._growing.rest())
        text = text if met else text + self._stops.rest()
        if text:
            self.ask.deliver(Piece(self.choice, text))
        self.over = "stop" if met else why
        self.ask.deliver(Ended(self.choice, self.over, self._count))


class Batch:
    """Rows of one version, aligned on the right: first their prompts, from the left, then what they say."""

    def __init__(self, runner: Runner, version: Version, rows: list[Row]) -> None:
        self._runner = runner
        self.version = version
        self.rows = rows
        self._cache = runner.cache()
        width = max(len(row.prompt) for row in rows)
        self._ids = torch.zeros(len(rows), width, dtype=torch.long)
        self._mask = torch.zeros(len(rows), width, dtype=torch.long)
        for i, row in enumerate(rows):
            self._ids[i, width - len(row.prompt) :] = torch.tensor(row.prompt)
            self._mask[i, width - len(row.prompt) :] = 1
        self._ids, self._mask = self._ids.to(runner.device), self._mask.to(runner.device)
        self._column = 0
        """Prompt columns that were run."""

    @property
    def prompting(self) -> bool:
        """Whether there are prompt columns left to run."""
        return self._column < self._ids.shape[1] if self._cache is not None else not self._column

    @torch.no_grad()
    def run_prompt(self, tokens: int) -> None:
        """Run the next columns of the prompts, `tokens` tokens in all at most (a column at least).

        A family that keeps nothing runs the whole prompt: it has to in any case.
        """
        width, begin = self._ids.shape[1], self._column
        end = min(width, begin + max(1, tokens // len(self.rows)))
        if self._cache is None or not self._runner.joins:
            end = width
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        hidden = self._forward(
            self._ids[:, begin:end], self._mask[:, :end], positions[:, begin:end]
        )
        for i, row in enumerate(self.rows):
            if row.wish.score_prompt:
                self._score(i, row, hidden[i], begin, end)
        self._column = end
        if end == width:
            for row in self.rows:
                row.begin()
            self._choose(hidden[:, -1])

    def _score(self, i: int, row: Row, hidden: Float[Tensor, "c d"], begin: int, end: int) -> None:
        """Column c tells how likely the token of column c + 1 is."""
        width = self._ids.shape[1]
        first = max(begin, width - len(row.prompt))
        last = min(end, width - 1)
        for low in range(first, last, SCORED_AT_ONCE):
            high = min(low + SCORED_AT_ONCE, last)
            logits = head_logits(self._runner.model, hidden[low - begin : high - begin])
            tokens = self._ids[i, low + 1 : high + 1].tolist()
            row.scored += likelihoods(logits, tokens, row.wish.logprobs or 0)

    @torch.no_grad()
    def run_token(self) -> None:
        """Run the token that each row said last, and choose the next."""
        last = torch.tensor([[row.last] for row in self.rows], device=self._runner.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self.rows), 1)], 1)
        if self._cache is None:
            self._ids = torch.cat([self._ids, last], 1)
            positions = (self._mask.cumsum(1) - 1).clamp(min=0)
            hidden = self._forward(self._ids, self._mask, positions)
        else:
            positions = self._mask.sum(1, keepdim=True) - 1
            hidden = self._forward(last, self._mask, positions)
        self._choose(hidden[:, -1])

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Float[Tensor, "b c d"]:
        return decoder_of(self._runner.model)(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions + first_position(self._runner.model),
            past_key_values=self._cache,
            use_cache=self._cache is not None,
        ).last_hidden_state

    def _choose(self, hidden: Float[Tensor, "b d"]) -> None:
        if all(row.over for row in self.rows):
            return
        logits = head_logits(self._runner.model, hidden)
        greedy = logits.argmax(-1).tolist()
        for i, row in enumerate(self.rows):
            if row.over is None:
                row.take(logits[i], greedy[i])

    def drop_finished(self) -> list[Row]:
        """Take out the rows that are over or that nobody wants any more, and return them."""
        gone = [row for row in self.rows if row.over or row.ask.cancelled.is_set()]
        if not gone:
            return []
        staying = [i for i, row in enumerate(self.rows) if row not in gone]
        self.rows = [self.rows[i] for i in staying]
        if not staying:
            return gone
        index = torch.tensor(staying, device=self._mask.device)
        mask = self._mask[index]
        prompts = self._ids[index]
        if self.prompting:  # its columns are counted from the left: they all stay
            self._mask, self._ids, first = mask, prompts, 0
        else:
            first = int(mask.argmax(1).min())
            self._mask = mask[:, first:]
            # without a cache the ids are run again; with one they have been run
            self._ids = prompts[:, first:] if self._cache is None else prompts[:, :0]
            self._column = self._ids.shape[1]
        if isinstance(self._cache, RowsCache):
            self._cache.select(staying, first)
        return gone

    def join(self, other: Batch) -> None:
        """Take in the rows of another batch of this version; the prompts of both are through."""
        assert isinstance(self._cache, RowsCache) and isinstance(other._cache, RowsCache)
        width = max(self._mask.shape[1], other._mask.shape[1])
        self._mask = torch.cat([_widened(self._mask, width), _widened(other._mask, width)])
        self.rows = self.rows + other.rows
        self._ids = self._ids.new_zeros(len(self.rows), 0)
        self._column = 0
        self._cache.join(other._cache)


def _widened(mask: Tensor, width: int) -> Tensor:
    """With more padding on the left."""
    return torch.cat([mask.new_zeros(mask.shape[0], width - mask.shape[1]), mask], 1)
