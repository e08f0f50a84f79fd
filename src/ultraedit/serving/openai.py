"""OpenAI's endpoints: models, completions, chat completions; streamed or whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from ultraedit.serving.asks import Ask, Ended, Failed, Piece, Scored, Started, Wish
from ultraedit.serving.listening import (
    DONE,
    KEEP_ALIVE,
    STREAM_HEADERS,
    Inbox,
    events,
    frame,
    refusal_of,
    started,
    watched,
)
from ultraedit.serving.metrics import Metrics
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.sampling import Likelihood
from ultraedit.serving.service import Service
from ultraedit.serving.shapes import ChatRequest, CompletionRequest, Sampling

COMPLETION_TOKENS = 16
"""OpenAI's default length of a completion."""

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/event-stream": {}}}
}


@dataclass
class Prompt:
    """One prompt with its tokens, and the text that stands for them where it is told again."""

    ids: list[int]
    text: str = ""


@dataclass
class _Choice:
    """What has been heard of one choice."""

    prompt: Prompt
    text: str = ""
    scored: tuple[Likelihood, ...] = ()
    likely: list[Likelihood] = field(default_factory=list)
    why: str | None = None
    tokens: int = 0
    offset: int = 0
    """Where the next token's text begins, in characters."""


class Answering:
    """One request of either kind on its way: what it asks, what comes, and how that is written."""

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        request: Request,
        body: Sampling,
        prompts: Sequence[Prompt],
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._arrived = time.perf_counter()
        self._request = request
        self._body = body
        self._chat = isinstance(body, ChatRequest)
        self._logprobs = _logprobs(body)
        self._echo = isinstance(body, CompletionRequest) and bool(body.echo)
        self._many = body.n or 1
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._prompts = prompts
        self._choices = [_Choice(prompt) for prompt in prompts for _ in range(self._many)]
        self._inbox = Inbox()
        self._started: Started | None = None
        self._heard = False

    async def response(self) -> Response:
        """Ask, and answer as the request wants it."""
        body = self._body
        if body.stream_options is not None and not body.stream:
            raise Refusal(
                400, "stream_options goes with stream: true only.", param="stream_options"
            )
        turn = self._service.writer.view.turn_of(body.model)
        wishes = [
            self._wish(choice.prompt, number % self._many)
            for number, choice in enumerate(self._choices)
        ]
        ask = Ask([choice.prompt.ids for choice in self._choices], wishes, turn, self._inbox.put)
        self._service.ask(ask)
        async with watched(self._inbox, self._request, ask):
            self._started = await started(self._inbox)
            headers = {"X-Weight-Version": self._started.version}
            if not body.stream:
                async for event in events(self._inbox, ask):
                    if isinstance(event, Failed):
                        raise refusal_of(event)
                    if event is not None:
                        self._hear(event)
                return JSONResponse(await run_in_threadpool(self._whole), headers=headers)
        return StreamingResponse(
            self._stream(ask), media_type="text/event-stream", headers=headers | STREAM_HEADERS
        )

    def _wish(self, prompt: Prompt, number: int) -> Wish:
        body = self._body
        stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        return Wish(
            max_tokens=self._length(prompt),
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=None if body.seed is None else body.seed + number,
            stops=stops,
            logprobs=self._logprobs,
            score_prompt=self._echo and self._logprobs is not None,
        )

    def _length(self, prompt: Prompt) -> int:
        body, most = self._body, self._service.limits.max_tokens
        room = self._service.prompts.context - len(prompt.ids)
        if isinstance(body, ChatRequest):
            asked, name = body.max_completion_tokens, "max_completion_tokens"
            if asked is None:
                asked, name = body.max_tokens, "max_tokens"
        else:
            asked, name = getattr(body, "max_tokens", None), "max_tokens"
        if room < 0 or (room == 0 and asked != 0):
            raise Refusal(
                400,
                f"the prompt has {len(prompt.ids)} tokens and this model takes {self._service.prompts.context}, answer "
                "and all; shorten it.",
                param="messages" if self._chat else "prompt",
            )
        if asked is None:
            return min(most, room, most if self._chat else COMPLETION_TOKENS)
        if asked > room:
            raise Refusal(
                400,
                f"{name} is {asked}, but behind a prompt of {len(prompt.ids)} tokens this model, which takes "
                f"{self._service.prompts.context}, has room for {room}.",
                param=name,
            )
        if asked > most:
            raise Refusal(
                400, f"{name} is {asked}; this server generates {most} at most.", param=name
            )
        return asked

    # -- writing -----------------------------------------------------------------------------------

    def _head(self, streamed: bool) -> dict[str, Any]:
        assert self._started is not None
        kind = "text_completion"
        if self._chat:
            kind = "chat.completion.chunk" if streamed else "chat.completion"
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._body.model,
            "system_fingerprint": self._started.version,
        }

    def _hear(self, event: Started | Scored | Piece | Ended) -> None:
        if isinstance(event, Started):
            return
        if not self._heard:
            self._heard = True
            self._metrics.first_token.observe(time.perf_counter() - self._arrived)
            self._metrics.tokens.labels("prompt").inc(sum(len(p.ids) for p in self._prompts))
        choice = self._choices[event.choice]
        if isinstance(event, Scored):
            choice.scored = event.tokens
        elif isinstance(event, Piece):
            choice.text += event.text
            choice.likely += event.likelihoods
        else:
            choice.why, choice.tokens = event.why, event.tokens
            self._metrics.tokens.labels("completion").inc(event.tokens)

    def _usage(self) -> dict[str, Any]:
        prompt = sum(len(p.ids) for p in self._prompts)
        completion = sum(choice.tokens for choice in self._choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _whole(self) -> dict[str, Any]:
        choices = []
        for index, choice in enumerate(self._choices):
            made: dict[str, Any] = {"index": index}
            if self._chat:
                made["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
                made["logprobs"] = None
                if self._logprobs is not None:
                    made["logprobs"] = {"content": self._chat_tokens(choice.likely)}
            else:
                made["text"] = (choice.prompt.text if self._echo else "") + choice.text
                made["logprobs"] = None
                if self._logprobs is not None:
                    prompt = self._prompt_columns(choice) if self._echo else None
                    made["logprobs"] = self._columns(choice, choice.likely, prompt)
            made["finish_reason"] = choice.why
            choices.append(made)
        return self._head(False) | {"choices": choices, "usage": self._usage()}

    async def _stream(self, ask: Ask) -> AsyncIterator[bytes]:
        wants_usage = bool(self._body.stream_options and self._body.stream_options.include_usage)
        head = self._head(True) | ({"usage": None} if wants_usage else {})

        def chunk(index: int, what: dict[str, Any], why: str | None = None) -> bytes:
            made = {"index": index} | what | {"finish_reason": why}
            return frame(head | {"choices": [made]})

        for index, choice in enumerate(self._choices):
            if self._chat:
                delta = {"role": "assistant", "content": ""}
                yield chunk(index, {"delta": delta, "logprobs": None})
            elif self._echo and self._logprobs is None:
                yield chunk(index, {"text": choice.prompt.text, "logprobs": None})
        async for event in events(self._inbox, ask):
            if event is None:
                yield KEEP_ALIVE
            elif isinstance(event, Failed):
                yield frame(refusal_of(event).body())
            elif isinstance(event, Ended):
                self._hear(event)
                end = {"delta": {}} if self._chat else {"text": ""}
                yield chunk(event.choice, end | {"logprobs": None}, event.why)
            elif isinstance(event, Scored):
                self._hear(event)
                choice = self._choices[event.choice]
                columns = await run_in_threadpool(
                    self._columns, choice, [], self._prompt_columns(choice)
                )
                yield chunk(event.choice, {"text": choice.prompt.text, "logprobs": columns})
            elif isinstance(event, Piece):
                self._hear(event)
                if event.text or event.likelihoods:
                    yield chunk(event.choice, self._piece(event))
        if wants_usage and all(choice.why for choice in self._choices):
            yield frame(head | {"choices": [], "usage": self._usage()})
        yield DONE

    def _piece(self, event: Piece) -> dict[str, Any]:
        likely = list(event.likelihoods)
        if self._chat:
            logprobs = {"content": self._chat_tokens(likely)} if likely else None
            return {"delta": {"content": event.text}, "logprobs": logprobs}
        columns = self._columns(self._choices[event.choice], likely) if likely else None
        return {"text": event.text, "logprobs": columns}

    # -- log-probabilities -------------------------------------------------------------------------

    def _token(self, token: int) -> str:
        return self._service.prompts.text([token])

    def _chat_tokens(self, likely: Sequence[Likelihood]) -> list[dict[str, Any]]:
        def told(token: int, logprob: float) -> dict[str, Any]:
            text = self._token(token)
            return {
                "token": text,
                "logprob": logprob,
                "bytes": list(text.encode("utf-8", "replace")),
            }

        return [
            told(one.token, one.logprob) | {"top_logprobs": [told(t, p) for t, p in one.top]}
            for one in likely
        ]

    def _prompt_columns(self, choice: _Choice) -> list[tuple[int, Likelihood | None]]:
        """Each token of the prompt with its likelihood; nothing is known of the first."""
        return list(zip(choice.prompt.ids, [None, *choice.scored], strict=True))

    def _columns(
        self,
        choice: _Choice,
        likely: Sequence[Likelihood],
        prompt: Sequence[tuple[int, Likelihood | None]] | None = None,
    ) -> dict[str, Any]:
        """As /v1/completions tells them, in four columns."""
        rows = [*(prompt or []), *((one.token, one) for one in likely)]
        columns: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }
        for token, one in rows:
            text = self._token(token)
            columns["tokens"].append(text)
            columns["token_logprobs"].append(None if one is None else one.logprob)
            top = None
            if one is not None and self._logprobs:
                top = {self._token(t): p for t, p in reversed(one.top)}
                top.setdefault(text, one.logprob)
            columns["top_logprobs"].append(top)
            columns["text_offset"].append(choice.offset)
            choice.offset += len(text)
        return columns


def _logprobs(body: Sampling) -> int | None:
    """How many likely tokens are told at each place; None for no log-probabilities."""
    if isinstance(body, CompletionRequest):
        return body.logprobs
    assert isinstance(body, ChatRequest)
    if body.top_logprobs is not None and not body.logprobs:
        raise Refusal(400, "top_logprobs goes with logprobs: true only.", param="top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None


def _completion_prompts(service: Service, body: CompletionRequest) -> list[Prompt]:
    given = body.prompt
    listed: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else [*given]
    if len(listed) * (body.n or 1) > 128:
        raise Refusal(
            400, f"{len(listed)} prompts with n = {body.n} are more than 128 choices.", param="n"
        )
    prompts = service.prompts
    made = []
    for one in listed:
        ids = prompts.raw(one)
        text = ""
        if body.echo:
            text = one if isinstance(one, str) else prompts.text(ids)
        made.append(Prompt(ids, text))
    return made


def routes(service: Service, metrics: Metrics) -> APIRouter:
    """OpenAI's endpoints for a service."""
    router = APIRouter(tags=["openai"])

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        """The head, the base and every mark."""
        context = service.prompts.context
        data = [row | {"max_model_len": context} for row in service.writer.view.models()]
        return {"object": "list", "data": data}

    @router.get("/v1/models/{model:path}")
    def model(model: str) -> dict[str, Any]:
        """One model; `NAME@turn:N` too."""
        view = service.writer.view
        turn = view.turn_of(model)
        found = view.model(model, view.head if turn is None else turn)
        return found | {"max_model_len": service.prompts.context}

    @router.post("/v1/completions", responses=STREAMED)
    async def completions(request: Request, body: CompletionRequest) -> Response:
        """Go on with a text or with token ids."""
        prompts = await run_in_threadpool(_completion_prompts, service, body)
        return await Answering(service, metrics, request, body, prompts).response()

    @router.post("/v1/chat/completions", responses=STREAMED)
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """Answer a chat."""
        messages = [message.plain() for message in body.messages]
        ids = await run_in_threadpool(service.prompts.chat, messages)
        return await Answering(service, metrics, request, body, [Prompt(ids)]).response()

    return router
