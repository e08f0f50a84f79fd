"""From the model thread to an HTTP connection: events, pauses in which a stream says that it lives, and hanging up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.requests import Request

from ultraedit.serving.asks import Ask, Ended, Event, Failed, Started
from ultraedit.serving.refusals import Refusal

KEEP_ALIVE = b": keep-alive\n\n"
PAUSE = 10.0
"""Seconds without an event after which a stream says that it lives."""


class Inbox:
    """What happens, in order, for one asyncio reader; other threads put into it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, event: Any) -> None:
        """From any thread; a loop that is closed already has no reader."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def get(self, seconds: float | None = None) -> Any:
        """The next event.  Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            return await self._queue.get()


async def until_gone(request: Request) -> None:
    """Return when the client hangs up; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def watched(inbox: Inbox, request: Request, ask: Ask) -> AsyncIterator[None]:
    """Inside the block a client who hangs up cancels the request, and ends the waiting for its events."""

    async def watch() -> None:
        await until_gone(request)
        ask.cancel()
        inbox.put(Failed(400, "the client hung up."))

    task = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        task.cancel()


async def started(inbox: Inbox) -> Started:
    """The first event of a request.  Raises Refusal where it is an error."""
    first = await inbox.get()
    if isinstance(first, Failed):
        raise refusal_of(first)
    assert isinstance(first, Started)
    return first


async def events(inbox: Inbox, ask: Ask) -> AsyncIterator[Event | None]:
    """Events up to the end of all choices, with None in pauses.  Leaving early cancels the request."""
    left = len(ask.prompts)
    try:
        while left:
            try:
                event = await inbox.get(PAUSE)
            except TimeoutError:
                yield None
                continue
            left -= isinstance(event, Ended)
            yield event
            if isinstance(event, Failed):
                return
    finally:
        if left:
            ask.cancel()


def refusal_of(failed: Failed) -> Refusal:
    """An event's error as an answer."""
    return Refusal(failed.status, failed.message, retry_after=failed.retry_after)


def frame(value: object, event: str | None = None, number: int | None = None) -> bytes:
    """One server-sent event."""
    head = "" if event is None else f"event: {event}\n"
    head += "" if number is None else f"id: {number}\n"
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"{head}data: {text}\n\n".encode("utf-8", "backslashreplace")


DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
