"""What every request passes before it is looked at: host, size, depth, key, level.  And the access log.

Plain ASGI: streams pass through untouched.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import secrets
import time
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ultraedit.serving.keys import Caller, Keys, WrongTries
from ultraedit.serving.metrics import Metrics
from ultraedit.serving.refusals import Refusal

PUBLIC = frozenset({"/health", "/ready"})
"""Paths that need no key; the page's static files are added."""

READING_POSTS = frozenset({"/v1/completions", "/v1/chat/completions", "/tokenize", "/compare"})
"""What is posted and changes nothing; everything else that is no GET needs an admin's key."""

LARGEST_BODY = 4 * 2**20
DEEPEST = 32
"""Brackets within brackets in a body."""

_TEXT = re.compile(rb'"(?:[^"\\\\]|\\\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")

access = logging.getLogger("ultraedit.access")


class Guard:
    """Lets through what may pass, and answers the rest."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        hosts: Collection[str],
        open_paths: Collection[str],
        metrics: Metrics,
    ) -> None:
        """
        Args:
            app: What is guarded.
            keys: Who may do what.
            hosts: Names by which this server may be called, beside addresses and localhost.
            open_paths: The page's files.
            metrics: Where requests are counted.
        """
        self._app = app
        self._keys = keys
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._open = PUBLIC | set(open_paths)
        self._metrics = metrics
        self._wrong = WrongTries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        number = secrets.token_hex(8)
        scope["caller"] = Caller("-", "read")
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", number.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            try:
                self._check_host(scope)
                self._check_key(scope)
                receive = await _whole_body(scope, receive)
            except Refusal as refusal:
                await refused(refusal, answer)
                return
            await self._app(scope, receive, answer)
        finally:
            self._log(scope, status, began, number)

    def _check_host(self, scope: Scope) -> None:
        """A name that is not this server's is a page that was made to point here (DNS rebinding)."""
        host = _header(scope, b"host")
        name = _host_in(host)
        if name in self._hosts or _is_address(name):
            return
        raise Refusal(
            421,
            f'this server is not called "{host[:100]}"; the one who runs it can say so with --allow-host.',
        )

    def _check_key(self, scope: Scope) -> None:
        path, method = scope["path"], scope["method"]
        if path in self._open and method in ("GET", "HEAD"):
            return
        scheme, _, key = _header(scope, b"authorization").partition(" ")
        caller = self._keys.caller(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            address = scope["client"][0] if scope.get("client") else "?"
            if scheme and self._wrong.too_many(address):
                raise Refusal(
                    429,
                    "there were many wrong keys from this address; wait a minute.",
                    retry_after=60,
                )
            raise Refusal(
                401,
                "a key is needed: send it as `Authorization: Bearer KEY`."
                if not scheme
                else "this key is not one of this server's.",
            )
        scope["caller"] = caller
        reads = method in ("GET", "HEAD", "OPTIONS") or path in READING_POSTS
        if not reads and caller.level != "admin":
            raise Refusal(403, "this key may read and not write; use an admin's key.")

    def _log(self, scope: Scope, status: int, began: float, number: str) -> None:
        seconds = time.perf_counter() - began
        self._metrics.requests.labels(str(status)).inc()
        client = scope["client"][0] if scope.get("client") else "-"
        # quoted as JSON: a path may hold anything, line ends too
        path = json.dumps(scope["path"][:300])
        access.info(
            "%s %s %s %s %d %.0fms %s",
            client,
            scope["caller"].name,
            scope["method"],
            path,
            status,
            seconds * 1000,
            number,
        )


async def refused(refusal: Refusal, send: Send) -> None:
    """Answer with an error."""
    body = json.dumps(refusal.body(), ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    headers |= refusal.headers()
    if refusal.status == 413:
        headers["connection"] = "close"
    listed = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


async def _whole_body(scope: Scope, receive: Receive) -> Receive:
    """Read the body, which is bounded, and hand it on in one piece; then what the client does next."""
    length = _header(scope, b"content-length")
    if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > LARGEST_BODY):
        raise _too_large()
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise _too_large()
        more = message.get("more_body", False)
    body = b"".join(parts)
    if body and _too_deep(body):
        raise Refusal(400, f"the body has more than {DEEPEST} brackets within brackets.")
    given = False

    async def again() -> dict[str, Any]:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return dict(await receive())

    return again


def _too_large() -> Refusal:
    return Refusal(
        413, f"the body is larger than {LARGEST_BODY // 2**20} MB; send it in several requests."
    )


def _too_deep(body: bytes) -> bool:
    """Counts brackets outside of texts; what is no JSON is refused later."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _header(scope: Scope, name: bytes) -> str:
    return next((v.decode("latin-1") for k, v in scope["headers"] if k == name), "")


def _host_in(header: str) -> str:
    """Without the port: "[::1]:8000" is "::1"."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
