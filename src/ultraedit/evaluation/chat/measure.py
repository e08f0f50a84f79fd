"""Asks a live model the bundled chat requests, and its edits in several ways, beside what the
unedited model said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ultraedit.data.requests import Request, bundled_requests
from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation import match
from ultraedit.evaluation.chat.protocol import EARLIER, SYSTEM, WAYS, ChatProtocol, Way
from ultraedit.evaluation.chat.scores import (
    ChatRow,
    ChatScores,
    EditRow,
    Manner,
    find_copies,
    summarise,
    summarise_kinds,
)
from ultraedit.evaluation.chat.unedited import Asked, Said, UneditedChat
from ultraedit.evaluation.generate import Generator
from ultraedit.evaluation.questions import key, sample
from ultraedit.evaluation.scorer import ModelScorer, Scorer
from ultraedit.evaluation.text import TokenPair
from ultraedit.model.context import context_length
from ultraedit.model.generate import stop_token_ids
from ultraedit.model.replace import head_logits
from ultraedit.model.steady import steady
from ultraedit.model.text import PromptEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.data.record import Record

Recall = Callable[[str], str]
OnAnswers = Callable[[int], None]
_KL_ROWS = 256  # rows of logits held at once, twice: 256 x 49,152 floats are 50 MB
_HEAD_TOLERANCE = 0.05


class ChatMeasure:
    """Measures the chat of a live model.  It is read at every call: edit it in between.

    Call `unedited` before the first edit (or with the edits disabled), `edited` as often as wanted
    afterwards.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        protocol: ChatProtocol | None = None,
        *,
        requests: Sequence[Request] | None = None,
        scorer: Scorer | None = None,
        batch: int = 50,
    ) -> None:
        """
        Args:
            model: the live model.
            tokenizer: its tokenizer, with a chat template.
            protocol: what is asked, and how; None takes the defaults.
            requests: what is asked; None takes every bundled request that nothing is tuned on.
            scorer: takes the place of the plain teacher-forced pass (one that reuses the frozen
                trunk's activations).
            batch: answers generated together; it changes none, ties aside.

        Raises:
            ConfigError: where the tokenizer has no chat template, or no request can be asked.
        """
        self.model = model
        self.protocol = protocol or ChatProtocol()
        self._chat = PromptEncoder(tokenizer, "chat")
        self._raw = PromptEncoder(tokenizer, "raw")
        self._context = context_length(model, tokenizer)
        self._scorer: Scorer = scorer or ModelScorer(model)
        self._generator = Generator(model, tokenizer, batch=batch)
        ends = stop_token_ids(model, tokenizer)
        own = tokenizer.eos_token_id
        self._end = own if own in ends else min(ends, default=None)  # type: ignore[type-var]
        self.left_out: dict[str, str] = {}
        """Request's id -> why it cannot be asked of this model."""
        self.requests = [r for r in (requests or bundled_requests()) if self._can_be_asked(r)]
        if not self.requests:
            reason = next(iter(self.left_out.values()), "there is none")
            raise ConfigError(f"no chat request can be asked of this model: {reason}")

    # -- measuring ---------------------------------------------------------------------------------

    def answers(self, records: Sequence[Record] = ()) -> int:
        """How many answers `unedited` or `edited` generates, at most: nearly all of the time."""
        chosen = sample(records, self.protocol.edits, self.protocol.seed)
        return len(self.requests) + len(WAYS) * len(chosen)

    def unedited(
        self, records: Sequence[Record] = (), *, on_answers: OnAnswers | None = None
    ) -> UneditedChat:
        """Ask the unedited model.

        Args:
            records: the edits to come; a sample of them, drawn by the seed, is asked about.
            on_answers: called after each batch with the number of answers it gave.

        Returns:
            Its answers, and what is needed for the KL to it.
        """
        said = self._say(
            [self._ids(r) for r in self.requests], self.protocol.max_new_tokens, on_answers
        )
        answers = dict(zip((r.id for r in self.requests), said, strict=True))
        scored = self._scorer.score(
            [self._pair(r, answers[r.id], None) for r in self.requests], states=True
        )
        states = {r.id: _known(s.states) for r, s in zip(self.requests, scored, strict=True)}
        chosen = sample(records, self.protocol.edits, self.protocol.seed)
        asked, prompts = self._asked([r for r in records if key(r) in chosen], None)
        replies = self._say(prompts, self.protocol.edit_tokens, on_answers)
        edits = dict(zip(asked, replies, strict=True))
        head = self._logprobs(states[self.requests[0].id]).cpu()
        return UneditedChat(self.protocol, answers, edits, states, head)

    def edited(
        self,
        before: UneditedChat,
        records: Sequence[Record] = (),
        *,
        newest: Sequence[Record] | None = None,
        recall: Recall | None = None,
        on_answers: OnAnswers | None = None,
    ) -> ChatScores:
        """Ask the edited model the same, and compare.

        Args:
            before: what `unedited` gave for this model and these requests.
            records: the edits made so far; those that `unedited` was asked about are asked.
            newest: the edits whose targets are looked for in the answers, oldest first; None takes
                the end of `records`.
            recall: turns a question into what the model is asked, for a method that keeps its edits
                beside the model.
            on_answers: called after each batch with the number of answers it gave.

        Returns:
            Figures of both models, and every answer.

        Raises:
            ConfigError: where `before` was made by another protocol or on another output head.
            DataError: where it lacks a request.
        """
        self._check(before)
        said = self._say(
            [self._ids(r, recall) for r in self.requests],
            self.protocol.max_new_tokens,
            on_answers,
        )
        kl = self._kl(before, recall)
        known = {at.edit for at in before.edits}
        made = {key(r): r for r in records if key(r) in known}
        asked, prompts = self._asked(list(made.values()), recall)
        replies = self._say(prompts, self.protocol.edit_tokens, on_answers)
        answers = dict(zip(asked, replies, strict=True))
        rows = self._rows(before, said, kl, records if newest is None else newest)
        edits = [_edit_row(at, made[at.edit], before.edits[at], s) for at, s in answers.items()]
        old, new = summarise(rows, edits, self.protocol)
        return ChatScores(
            protocol=self.protocol,
            unedited=old,
            edited=new,
            by_kind=summarise_kinds(rows, self.protocol),
            rows=tuple(rows),
            edits=tuple(edits),
            left_out=dict(self.left_out),
        )

    # -- asking ------------------------------------------------------------------------------------

    def _can_be_asked(self, request: Request) -> bool:
        """Says no, and why, where the template refuses a request or the context cannot hold it."""
        try:
            length = len(self._ids(request))
        except DataError as error:
            self.left_out[request.id] = str(error)
            return False
        if length + 1 > self._context:
            self.left_out[request.id] = (
                f"it has {length} tokens and the model's context is {self._context}."
            )
            return False
        return True

    def _ids(self, request: Request, recall: Recall | None = None) -> list[int]:
        messages = request.messages
        if recall is not None:
            role, content = messages[-1]
            messages = (*messages[:-1], (role, recall(content)))
        return self._conversation(messages)

    def _conversation(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        return self._chat.conversation([{"role": r, "content": text} for r, text in messages])

    def _say(
        self, prompts: Sequence[list[int]], limit: int, on_answers: OnAnswers | None
    ) -> list[Said]:
        found = self._generator.generate(
            prompts, max_new_tokens=limit, stop_at_newline=False, on_answers=on_answers
        )
        return [Said(g.text, g.ids, g.stopped) for g in found]

    def _pair(self, request: Request, said: Said, recall: Recall | None) -> TokenPair:
        """The request with the unedited model's own answer, its end included where it ended."""
        end = (self._end,) if said.ended and self._end is not None else ()
        return TokenPair(tuple(self._ids(request, recall)), (*said.ids, *end))

    def _asked(
        self, records: Sequence[Record], recall: Recall | None
    ) -> tuple[list[Asked], list[list[int]]]:
        """Every way in which each of some edits can be asked, and its prompt."""
        asked, prompts = [], []
        for record in records:
            for way in WAYS:
                ids = self._edit_prompt(record, way, recall)
                if ids is not None:
                    asked.append(Asked(way, key(record)))
                    prompts.append(ids)
        return asked, prompts

    def _edit_prompt(self, record: Record, way: Way, recall: Recall | None) -> list[int] | None:
        """None where an edit has no rephrase, the template no system message, the context no room."""
        if way == "rephrase" and not record.rephrases:
            return None
        prompt = record.rephrases[0] if way == "rephrase" else record.prompt
        if recall is not None:
            prompt = recall(prompt)
        if way == "raw":
            ids = self._raw.prompt(prompt)
        else:
            ahead = {"system": (SYSTEM,), "after turns": EARLIER}.get(way, ())
            try:
                ids = self._conversation((*ahead, ("user", prompt)))
            except DataError as error:
                self.left_out[f"edits asked: {way}"] = str(error)
                return None
        if not ids or len(ids) + 1 > self._context:
            self.left_out[f"{record.id} asked: {way}"] = (
                f"it has {len(ids)} tokens and the model's context is {self._context}."
            )
            return None
        return ids

    # -- comparing ---------------------------------------------------------------------------------

    @torch.no_grad()
    def _kl(self, before: UneditedChat, recall: Recall | None) -> list[float]:
        """Mean KL(unedited || edited) in nats over each unedited answer's tokens."""
        pairs = [self._pair(r, before.answers[r.id], recall) for r in self.requests]
        now = [_known(s.states) for s in self._scorer.score(pairs, states=True)]
        old = [before.states[r.id] for r in self.requests]
        parts = []
        rows = zip(torch.cat(old).split(_KL_ROWS), torch.cat(now).split(_KL_ROWS), strict=True)
        for a, b in rows:
            p0, p = self._logprobs(a), self._logprobs(b)
            parts.append((p0.exp() * (p0 - p)).sum(-1).clamp_min(0).cpu())
        lengths = [len(states) for states in old]
        return [float(x.mean()) for x in torch.cat(parts).split(lengths)]

    def _logprobs(self, states: Tensor) -> Tensor:
        """The whole log-softmax of some last hidden states, on the model's device."""
        device = self._generator.forward.device
        with steady(self.model), torch.no_grad():
            return head_logits(self.model, states.to(device)).float().log_softmax(-1)

    def _rows(
        self,
        before: UneditedChat,
        said: Sequence[Said],
        kl: Sequence[float],
        newest: Sequence[Record],
    ) -> list[ChatRow]:
        recent = newest[max(len(newest) - self.protocol.recent, 0) :]
        old = [before.answers[r.id] for r in self.requests]
        copied = find_copies(
            [
                (now.text, was.text, (r.said, *r.answers))
                for r, was, now in zip(self.requests, old, said, strict=True)
            ],
            [record.target for record in reversed(recent)],
        )
        return [
            ChatRow(
                id=request.id,
                kind=request.kind,
                request=request.question,
                before=Manner.of(was, request),
                after=Manner.of(now, request),
                kl=far,
                same_first_token=was.ids[:1] == now.ids[:1],
                same_answer=was.ids == now.ids and was.ended == now.ended,
                copied=copy,
            )
            for request, was, now, far, copy in zip(
                self.requests, old, said, kl, copied, strict=True
            )
        ]

    def _check(self, before: UneditedChat) -> None:
        if before.protocol != self.protocol:
            raise ConfigError(
                "the unedited model's answers were made by another chat protocol: measure it again."
            )
        for request in self.requests:
            if request.id not in before.answers:
                raise DataError(
                    f"the unedited model was not asked request {request.id!r}: measure it again."
                )
        now = self._logprobs(before.states[next(iter(before.answers))]).cpu()
        if now.shape != before.head.shape or not torch.allclose(
            now, before.head, atol=_HEAD_TOLERANCE, rtol=_HEAD_TOLERANCE
        ):
            raise ConfigError(
                "the model's output head is not the one that the unedited answers were made with, so "
                "the KL to the unedited model cannot be computed: measure the unedited model again."
            )


def _edit_row(at: Asked, record: Record, was: Said, now: Said) -> EditRow:
    return EditRow(
        id=record.id,
        way=at.way,
        prompt=record.rephrases[0] if at.way == "rephrase" else record.prompt,
        target=record.target,
        before=was.text,
        after=now.text,
        contained_before=match.contains(was.text, record.target),
        contained_after=match.contains(now.text, record.target),
    )


def _known(states: Tensor | None) -> Tensor:
    assert states is not None  # asked for
    return states
