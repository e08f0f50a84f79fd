"""Endpoints for those who run the server, and two for those who watch it: whether it lives, counts, tokens, compare."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from ultraedit import __version__
from ultraedit.serving.asks import Ask, Ended, Failed, Piece, Scored, Started, Wish
from ultraedit.serving.listening import (
    DONE,
    KEEP_ALIVE,
    STREAM_HEADERS,
    Inbox,
    events,
    frame,
    refusal_of,
)
from ultraedit.serving.metrics import Metrics
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.service import Service
from ultraedit.serving.shapes import CompareRequest, TokenizeRequest

SIDES = 2


def routes(service: Service, metrics: Metrics) -> APIRouter:
    """The rest of a service's endpoints."""
    router = APIRouter(tags=["operating"])

    @router.get("/health")
    def health() -> JSONResponse:
        """200 while the model thread lives; needs no key."""
        alive = service.alive
        return JSONResponse({"status": "ok" if alive else "ended"}, 200 if alive else 503)

    @router.get("/ready")
    def ready() -> JSONResponse:
        """200 once the model is loaded and until the server stops; needs no key."""
        word = "ready" if service.ready else "loading" if service.alive else "ended"
        headers = {} if service.ready else {"Retry-After": "2"}
        return JSONResponse({"status": word}, 200 if service.ready else 503, headers=headers)

    @router.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
    )
    def counts() -> Response:
        """For Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/version")
    def version() -> dict[str, Any]:
        """Which program, which workspace, and where it stands."""
        view = service.writer.view
        config = view.store.config
        return {
            "version": __version__,
            "model": service.name,
            "base": config.base.architecture,
            "dtype": config.base.dtype,
            "form": config.form,
            "head": view.head,
            "weight_version": view.version,
            "workspace": view.store.journal.commits[0].digest,
            "ready": service.ready,
        }

    @router.post("/tokenize")
    def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        """A text's tokens, or a chat's in the model's template."""
        if body.model is not None:
            service.writer.view.turn_of(body.model)
        if (body.prompt is None) == (body.messages is None):
            raise Refusal(400, "give either prompt or messages.", param="prompt")
        prompts = service.prompts
        if body.messages is not None:
            ids = prompts.chat([message.plain() for message in body.messages])
        elif body.add_special_tokens:
            ids = prompts.raw(body.prompt or "") if body.prompt else []
        else:
            ids = prompts.bare(body.prompt or "")
        return {"count": len(ids), "max_model_len": prompts.context, "tokens": ids}

    @router.post(
        "/compare",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def compare(body: CompareRequest) -> StreamingResponse:
        """Two models answer together, in one stream whose events say which `side` they are of."""
        asked = await run_in_threadpool(_sides, service, body)
        sides = [_Side(service, body, side, *asked[side]) for side in range(SIDES)]
        return StreamingResponse(
            _together(sides), media_type="text/event-stream", headers=STREAM_HEADERS
        )

    return router


def _sides(service: Service, body: CompareRequest) -> list[tuple[int | None, list[int], list[int]]]:
    """(turn, prompt ids, ids of the target) of each side."""
    if (body.prompt is None) == (body.messages is None):
        raise Refusal(400, "give either prompt or messages.", param="messages")
    prompts = service.prompts
    found = []
    for side, model in enumerate(body.models):
        turn = service.writer.view.turn_of(model)
        target: list[int] = []
        if body.prompt is not None:
            ids = prompts.fact(body.prompt)
            if body.target is not None:
                _, target = prompts.fact_pair(body.prompt, body.target)
        else:
            given: Any = body.messages
            chat = given[side] if isinstance(given[0], list) else given
            messages = [message.plain() for message in chat]
            ids = prompts.chat(messages)
            if body.target is not None:
                _, target = prompts.chat_pair(messages, body.target)
        if len(ids) + max(len(target), 1) > prompts.context:
            raise Refusal(
                400,
                f"the prompt has {len(ids)} tokens and this model takes {prompts.context}, answer and all; shorten it.",
                param="messages" if body.prompt is None else "prompt",
            )
        found.append((turn, ids, target))
    return found


class _Side:
    """One of the two models: its answer, and how likely the target is in its place."""

    def __init__(
        self,
        service: Service,
        body: CompareRequest,
        side: int,
        turn: int | None,
        ids: list[int],
        target: list[int],
    ) -> None:
        self._service = service
        self._model = body.models[side]
        self._side = side
        self._target = target
        self._inbox = Inbox()
        room = service.prompts.context - len(ids)
        wish = Wish(
            min(body.max_tokens, room, service.limits.max_tokens),
            body.temperature,
            body.top_p,
            body.seed,
        )
        prompts, wishes = [ids], [wish]
        if target:  # of the same version, so part of the same request
            prompts.append(ids + target)
            wishes.append(Wish(0, score_prompt=True, temperature=0))
        self.ask = Ask(prompts, wishes, turn, self._inbox.put)

    async def frames(self) -> AsyncIterator[bytes]:
        """This side's events; an error is one too, and leaves the other side alone."""
        head: dict[str, Any] = {"object": "compare.chunk", "side": self._side, "model": self._model}
        try:
            self._service.ask(self.ask)
        except Refusal as refusal:
            yield frame(head | refusal.body())
            return
        end: dict[str, Any] | None = None
        likely: float | None = None
        async for event in events(self._inbox, self.ask):
            if event is None:
                yield KEEP_ALIVE
            elif isinstance(event, Failed):
                yield frame(head | refusal_of(event).body())
                return
            elif isinstance(event, Started):
                head["weight_version"] = event.version
                yield frame(head | {"choices": []})
            elif isinstance(event, Scored):
                scores = event.tokens[-len(self._target) :]
                likely = math.exp(sum(one.logprob for one in scores))
            elif isinstance(event, Piece) and event.text:
                delta = {
                    "index": self._side,
                    "delta": {"content": event.text},
                    "finish_reason": None,
                }
                yield frame(head | {"choices": [delta]})
            elif isinstance(event, Ended) and event.choice == 0:
                end = {"index": self._side, "delta": {}, "finish_reason": event.why}
        last = head | {"choices": [end]}
        yield frame(last if likely is None else last | {"target_probability": likely})


async def _together(sides: list[_Side]) -> AsyncIterator[bytes]:
    """Both sides' events as they come."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def pump(side: _Side) -> None:
        try:
            async for found in side.frames():
                queue.put_nowait(found)
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.ensure_future(pump(side)) for side in sides]
    left = len(sides)
    try:
        while left:
            found = await queue.get()
            if found is None:
                left -= 1
            else:
                yield found
        yield DONE
    finally:
        for task, side in zip(tasks, sides, strict=True):
            side.ask.cancel()
            task.cancel()
