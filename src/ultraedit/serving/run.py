"""Runs the server in this process: its log, its signals, its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ultraedit.errors import ConfigError
from ultraedit.serving.service import Service

GRACE = 25
"""Seconds that connections have to take their last bytes when the server stops."""
TURN_GRACE = 600.0
"""Seconds that a running turn has to come to its end then; it cannot be left half."""


class _Server(uvicorn.Server):
    """Ends on a signal as it should: streams are told, a running turn is finished, the process leaves with 0."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM; they are not raised again afterwards, because the end is an orderly one."""
        kept = {
            number: signal.signal(number, self._signalled)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._service.stop()
        self.handle_exit(number, frame)
        self.force_exit = False  # a second signal does not leave a turn half


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address.

    Raises:
        ConfigError: Where it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the server cannot listen at {host}:{port} ({why}); give another --host or --port."
        ) from error
    return bound


def serve(app: ASGIApp, service: Service, bound: socket.socket, up: Callable[[], None]) -> None:
    """Serve until a signal or the end of the model thread.

    Args:
        app: What answers.
        service: Its model thread is started here, and is over on return.
        bound: Where it listens.
        up: Called once requests can come.

    Raises:
        Exception: What ended the model thread, if it was no signal.
    """
    _log_to_stderr()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=1024,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, service)

    def ended() -> None:
        server.should_exit = True

    async def main() -> None:
        running = asyncio.ensure_future(server.serve(sockets=[bound]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        if server.started:
            up()
        await running

    service.start(ended)
    try:
        asyncio.run(main())
    finally:
        service.stop()
        service.join(TURN_GRACE)
    if service.error is not None:
        raise service.error


def _log_to_stderr() -> None:
    """Requests and errors, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    for name in ("ultraedit.access", "ultraedit.serving", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("ultraedit.access").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
