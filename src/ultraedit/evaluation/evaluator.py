"""Asks a live model every question of some records and scores the answers, beside the unedited
model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation import match
from ultraedit.evaluation.drift import drift_figures, windows
from ultraedit.evaluation.evaluation import Evaluation, QuestionScores, summarise
from ultraedit.evaluation.generate import Generation, Generator
from ultraedit.evaluation.protocol import Protocol
from ultraedit.evaluation.questions import Question, key, questions, sample
from ultraedit.evaluation.scorer import ModelScorer, Scorer, TokenScores
from ultraedit.evaluation.text import TokenPair, pair_of, prompt_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.data.record import Record
    from ultraedit.evaluation.intervals import Figure

_KL_ROWS = 256
_HEAD_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Baseline:
    """The unedited model's outputs on every question, made before the first edit.

    The exact KL needs the unedited model's whole distribution at each answer position.  Kept are
    its last hidden states, not the log-softmax: the output head is never edited, so the head gives
    the distribution back exactly, from `width` numbers a position in place of `vocabulary`
    (SmolLM2: 1.2 KB in place of 98 KB in bf16), and the unedited weights need not be swapped back
    in.
    """

    evaluation: Evaluation
    protocol: Protocol
    texts: dict[tuple[str, bool], Generation]
    """(prompt, long answer?) -> greedy text."""
    scores: dict[TokenPair, TokenScores]
    """Locality questions, with states."""
    asked: frozenset[tuple[str, str | None]]
    """(prompt, answer) of every question."""
    sampled: frozenset[str]
    drift_windows: tuple[TokenPair, ...]
    drift_scores: tuple[TokenScores, ...]
    head_states: Tensor
    head_logprobs: Tensor


@dataclass(slots=True)
class _Asked:
    """Raw outputs of one pass over the questions."""

    scores: dict[TokenPair, TokenScores]
    texts: dict[tuple[str, bool], Generation]


class Evaluator:
    """Scores of a live model.  It is read at every call: edit it in between and evaluate again.

    `scorer` takes the place of the plain teacher-forced pass (one that reuses the frozen trunk's
    activations).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        protocol: Protocol | None = None,
        *,
        scorer: Scorer | None = None,
    ) -> None:
        from ultraedit.model.text import PromptEncoder

        self.tokenizer = tokenizer
        self.protocol = protocol or Protocol()
        self.encoder = PromptEncoder(tokenizer, self.protocol.form)
        self.scorer: Scorer = scorer or ModelScorer(model)
        self._generator = Generator(model, tokenizer)
        self._pairs: dict[tuple[str, str], TokenPair] = {}  # each text is tokenised once in a run

    def baseline(self, records: Sequence[Record], drift_text: str | None = None) -> Baseline:
        """Measures the unedited model on all records that will be asked about later.  Call it
        before the first edit.

        `drift_text` is cut into fixed windows; without it no drift is measured.
        """
        asked = questions(records, self.protocol.question_marks)
        sampled = sample(records, self.protocol.generated_records, self.protocol.seed)
        raw = self._ask(records, asked, sampled, None, None)
        rows = self._rows(records, asked, sampled, raw, None, range(len(records)), None)
        text = windows(self.tokenizer, drift_text, self.protocol.drift_window) if drift_text else []
        drift_scores = self.scorer.score(text)
        figures = summarise(rows, self.protocol)
        if text:
            figures |= drift_figures(drift_scores, None, form="drift text", seed=self.protocol.seed)
        pairs = {p for q in asked if (p := self._kl_pair(q, raw.texts)) is not None}
        kept = {p: raw.scores[p] for p in pairs}
        head = self._head_states()
        return Baseline(
            evaluation=Evaluation(None, rows, figures),
            protocol=self.protocol,
            texts=raw.texts,
            scores=kept,
            asked=frozenset((q.prompt, q.answer) for q in asked),
            sampled=sampled,
            drift_windows=tuple(text),
            drift_scores=tuple(drift_scores),
            head_states=head,
            head_logprobs=self.scorer.logprobs(head),
        )

    def evaluate(
        self,
        records: Sequence[Record],
        baseline: Baseline | None = None,
        *,
        edits: int,
        positions: Sequence[int] | None = None,
        recall: Callable[[str], str] | None = None,
    ) -> Evaluation:
        """Asks about `records`, which stand at `positions` of the stream (0, 1, ... if left out),
        after `edits` edits.  `recall` turns each question into what the model is asked (retrieval);
        drift is measured without it.

        Without a baseline there is no agreement, KL or perplexity ratio.  Raises DataError when
        the baseline was not measured on these records, ConfigError when it was made by another
        protocol or the output head changed.
        """
        places = range(len(records)) if positions is None else positions
        if len(places) != len(records):
            raise ConfigError(f"{len(records)} records were given with {len(places)} positions.")
        asked = questions(records, self.protocol.question_marks)
        if baseline is not None:
            self._check(baseline, asked)
        sampled = (
            baseline.sampled
            if baseline is not None
            else sample(records, self.protocol.generated_records, self.protocol.seed)
        )
        raw = self._ask(records, asked, sampled, baseline, recall)
        rows = self._rows(records, asked, sampled, raw, baseline, places, edits)
        figures = summarise(rows, self.protocol)
        if baseline is not None and baseline.drift_windows:
            figures |= self.drift(baseline)
        return Evaluation(edits, rows, figures)

    def drift(self, baseline: Baseline) -> dict[str, Figure]:
        """Only the drift figures: perplexity, its ratio, top-1 agreement on the baseline's drift
        text."""
        now = self.scorer.score(baseline.drift_windows)
        return drift_figures(now, baseline.drift_scores, form="drift text", seed=self.protocol.seed)

    # asking

    def _ask(
        self,
        records: Sequence[Record],
        asked: Sequence[Question],
        sampled: frozenset[str],
        baseline: Baseline | None,
        recall: Callable[[str], str] | None,
    ) -> _Asked:
        texts: dict[tuple[str, bool], Generation] = {}
        spoken = {
            self._text_key(q): self._encode(q.prompt, recall)
            for q in asked
            if self._is_spoken(q, records, sampled)
        }
        for long in (False, True):
            chosen = [k for k in spoken if k[1] is long]
            limit = self.protocol.long_max_new_tokens if long else self.protocol.max_new_tokens
            answers = self._generator.generate(
                [spoken[k] for k in chosen], max_new_tokens=limit, stop_at_newline=not long
            )
            texts.update(zip(chosen, answers, strict=True))
        before = baseline.texts if baseline is not None else texts
        plain: dict[TokenPair, str] = {}  # pair -> its prompt as text
        with_states: dict[TokenPair, str] = {}
        for q in asked:
            if (pair := self._kl_pair(q, before)) is not None:
                with_states[pair] = q.prompt
            if q.answer is not None and q.family != "locality":
                plain[self._pair(q.prompt, q.answer)] = q.prompt
            if q.answer is not None and q.rival is not None:
                plain[self._pair(q.prompt, q.rival)] = q.prompt
        rest = {pair: prompt for pair, prompt in plain.items() if pair not in with_states}
        scores: dict[TokenPair, TokenScores] = {}
        for part, states in ((with_states, True), (rest, False)):
            put = [
                pair
                if recall is None
                else TokenPair(tuple(self._encode(prompt, recall)), pair.target)
                for pair, prompt in part.items()
            ]
            scores.update(zip(part, self.scorer.score(put, states=states), strict=True))
        return _Asked(scores, texts)

    def _encode(self, prompt: str, recall: Callable[[str], str] | None) -> list[int]:
        said = prompt if recall is None else recall(prompt)
        return prompt_ids(self.encoder, said)

    def _is_spoken(self, q: Question, records: Sequence[Record], sampled: frozenset[str]) -> bool:
        return q.family in self.protocol.generate and key(records[q.record]) in sampled

    def _pair(self, prompt: str, answer: str) -> TokenPair:
        at = prompt, answer
        if at not in self._pairs:
            self._pairs[at] = pair_of(self.encoder, prompt, answer)
        return self._pairs[at]

    def _text_key(self, q: Question) -> tuple[str, bool]:
        return q.prompt, self._length(q) > self.protocol.max_new_tokens

    def _length(self, q: Question) -> int:
        return 0 if q.answer is None else len(self._pair(q.prompt, q.answer).target)

    def _kl_pair(self, q: Question, before: dict[tuple[str, bool], Generation]) -> TokenPair | None:
        """Where the KL of a locality question is read: on its gold answer, or else on the unedited
        model's own."""
        if q.family != "locality":
            return None
        if q.answer is not None:
            return self._pair(q.prompt, q.answer)
        said = before.get((q.prompt, False))
        return self._pair(q.prompt, said.text) if said is not None and said.text else None

    # scoring

    def _rows(
        self,
        records: Sequence[Record],
        asked: Sequence[Question],
        sampled: frozenset[str],
        raw: _Asked,
        baseline: Baseline | None,
        positions: Sequence[int],
        edits: int | None,
    ) -> list[QuestionScores]:
        rows = []
        for q in asked:
            record, position = records[q.record], positions[q.record]
            age = None if edits is None else edits - 1 - position
            row = QuestionScores(
                record.id, position, age, q.family, q.kind, q.number, q.prompt, q.answer
            )
            if q.answer is not None:
                self._score_tokens(row, q, raw)
            if self._is_spoken(q, records, sampled):
                self._score_text(row, q, raw.texts[self._text_key(q)], baseline)
            rows.append(row)
        if baseline is not None:
            self._score_locality(rows, asked, raw, baseline)
        return rows

    def _score_tokens(self, row: QuestionScores, q: Question, raw: _Asked) -> None:
        assert q.answer is not None
        scores = raw.scores[self._pair(q.prompt, q.answer)]
        row.token_accuracy, row.exact = scores.token_accuracy, scores.exact
        row.first_token, row.mean_logprob = scores.first_token, scores.mean_logprob
        if q.rival is not None:
            row.rival_logprob = raw.scores[self._pair(q.prompt, q.rival)].mean_logprob
            row.probability_success = row.mean_logprob > row.rival_logprob

    def _score_text(
        self, row: QuestionScores, q: Question, said: Generation, baseline: Baseline | None
    ) -> None:
        row.generated, row.natural_stop = said.text, said.stopped
        row.repetition = match.repetition(said.ids)
        if q.answer is not None:
            length = self._length(q)
            cut = str(self.tokenizer.decode(list(said.ids[:length]), skip_special_tokens=True))
            row.generated_exact = match.exact(said.text, q.answer)
            row.generated_contains = match.contains(said.text, q.answer)
            row.generated_truncated = match.exact(cut, q.answer)
            if length > self.protocol.max_new_tokens:
                row.rouge_l = match.rouge_l(said.text, q.answer)
        if baseline is not None:
            before = baseline.texts[self._text_key(q)]
            row.before = before.text
            if q.family == "locality":
                row.agreement = before.text == said.text

    def _score_locality(
        self, rows: list[QuestionScores], asked: Sequence[Question], raw: _Asked, baseline: Baseline
    ) -> None:
        pairs = [self._kl_pair(q, baseline.texts) for q in asked]
        old = {p: baseline.scores[p] for p in pairs if p is not None}
        now = [raw.scores[p] for p in old]
        kl = dict(zip(old, self._kl(list(old.values()), now), strict=True))
        for row, pair in zip(rows, pairs, strict=True):
            if pair is not None:
                row.kl = kl[pair]
                same = baseline.scores[pair].argmax == raw.scores[pair].argmax
                row.top1_agreement = float(same.double().mean())

    def _kl(self, before: Sequence[TokenScores], now: Sequence[TokenScores]) -> list[float]:
        """Mean KL(before || now) per answer, in nats."""
        if not before:
            return []
        lengths = [len(s.target) for s in before]
        old = torch.cat([_states(s) for s in before])
        new = torch.cat([_states(s) for s in now])
        parts = []
        for a, b in zip(old.split(_KL_ROWS), new.split(_KL_ROWS), strict=True):
            p0, p = self.scorer.logprobs(a), self.scorer.logprobs(b)
            parts.append((p0.exp() * (p0 - p)).sum(-1).clamp_min(0))
        return [float(x.mean()) for x in torch.cat(parts).split(lengths)]

    # guards

    def _head_states(self) -> Tensor:
        """A few states to tell an edited output head by."""
        from ultraedit.model.text import PromptEncoder

        text = prompt_ids(PromptEncoder(self.tokenizer, "raw"), "The capital of France is Paris.")
        pair = TokenPair(tuple(text[:1]), tuple(text[1:] or text))
        return _states(self.scorer.score([pair], states=True)[0])

    def _check(self, baseline: Baseline, asked: Sequence[Question]) -> None:
        if baseline.protocol != self.protocol:
            raise ConfigError(
                "the baseline was made by another protocol than this evaluation: measure it again."
            )
        for q in asked:
            if (q.prompt, q.answer) not in baseline.asked:
                raise DataError(
                    f"the baseline was not measured on the prompt {q.prompt!r}: "
                    "give Evaluator.baseline all records first."
                )
        now = self.scorer.logprobs(baseline.head_states)
        if not torch.allclose(
            now, baseline.head_logprobs, atol=_HEAD_TOLERANCE, rtol=_HEAD_TOLERANCE
        ):
            raise ConfigError(
                "the model's output head changed since the baseline was made, so the KL to the "
                "unedited model cannot be computed: edit projections inside the blocks only."
            )


def _states(scores: TokenScores) -> Tensor:
    assert scores.states is not None
    return scores.states
