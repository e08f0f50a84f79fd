"""News of the workspace for whoever listens: queued, step, committed, health, undone, refused."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

KEPT = 256
"""News that a listener who comes back after a break is told of."""

News = dict[str, Any]


class Bulletin:
    """Numbers what happens and tells every listener.  Any thread may publish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._kept: deque[News] = deque(maxlen=KEPT)
        self._listeners: set[Callable[[News | None], None]] = set()

    def publish(self, kind: str, /, **what: Any) -> None:
        """Tell everybody."""
        with self._lock:
            self._number += 1
            news = {"id": self._number, "type": kind} | what
            if kind != "step":  # how far something was is no news afterwards
                self._kept.append(news)
            listeners = list(self._listeners)
        for listener in listeners:
            listener(news)

    def listen(self, listener: Callable[[News | None], None], after: int | None) -> None:
        """Call `listener` for all that happens, and first for what is kept of what happened since number `after`.

        It is called on other threads and must not block; None tells it that the server stops.
        """
        with self._lock:
            self._listeners.add(listener)
            missed = [] if after is None else [n for n in self._kept if n["id"] > after]
        for news in missed:
            listener(news)

    def leave(self, listener: Callable[[News | None], None]) -> None:
        """No longer."""
        with self._lock:
            self._listeners.discard(listener)

    def close(self) -> None:
        """The server stops."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(None)
