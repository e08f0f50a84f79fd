"""Requests to somebody else's server: what comes back, or one sentence.  The standard library is enough."""

from __future__ import annotations

import http.client
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ultraedit.errors import ConfigError, ServerError

PATIENCE = 120.0
"""Seconds to wait for an answer."""
LOADING = 1800.0
"""Seconds to wait where the server reads a whole model from disk."""
QUOTED = 300
"""Characters of a server's own words in a message, at most."""


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return 200 <= self.status < 300

    @property
    def json(self) -> dict[str, Any]:
        """The answer's object; {} for anything else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def words(self) -> str:
        """What the server says went wrong, wherever its kind puts it."""
        found = self.json
        error = found.get("error")
        said = error.get("message") if isinstance(error, dict) else error
        said = said or found.get("error_message") or found.get("message") or found.get("detail")
        text = str(said) if said else self.body.decode("utf-8", "replace")
        line = " ".join(text.split()) or "nothing"
        return line if len(line) <= QUOTED else line[: QUOTED - 3] + "..."


class Endpoint:
    """An address, and the keys that its requests carry."""

    def __init__(self, url: str, key: str | None = None, admin_key: str | None = None) -> None:
        """
        Args:
            url: As http://host:port, with or without the "/v1" that OpenAI's clients want.
            key: For every request; None where the server wants none.
            admin_key: For requests that change the server; None takes `key`.

        Raises:
            ConfigError: For what is no such address.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # a port that is none, or half a bracket
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ConfigError(
                f'"{url}" is not the address of a server; give one like http://127.0.0.1:8000.'
            )
        self._prefix = parts.path.rstrip("/").removesuffix("/v1")
        self.url = f"{parts.scheme}://{parts.netloc}{self._prefix}"
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._key, self._admin_key = key, admin_key or key

    @property
    def here(self) -> bool:
        """Whether the server is on this machine, by its address."""
        if self._host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self._host).is_loopback
        except ValueError:
            return False

    def get(self, path: str) -> Reply:
        """Raises ServerError where nothing answers."""
        return self._send("GET", path, None, PATIENCE)

    def post(
        self, path: str, body: Mapping[str, Any] | list[Any], *, patience: float = PATIENCE
    ) -> Reply:
        """A question.  Raises ServerError where nothing answers."""
        return self._send("POST", path, body, patience)

    def change(
        self,
        path: str,
        body: Mapping[str, Any] | list[Any],
        *,
        patience: float = PATIENCE,
    ) -> Reply:
        """A request that changes the server.  Raises ServerError where nothing answers."""
        return self._send("POST", path, body, patience, changes=True)

    def _send(
        self, method: str, path: str, body: object, patience: float, *, changes: bool = False
    ) -> Reply:
        key = self._admin_key if changes else self._key
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        headers = {"Accept": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = kind(self._host, self._port, timeout=patience)
        try:
            connection.request(method, self._prefix + path, data, headers)
            response = connection.getresponse()
            reply = Reply(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"the server at {self.url} does not answer {path} ({error or type(error).__name__}); is it running?"
            ) from error
        finally:
            connection.close()
        if reply.status in (401, 403):
            which = "--admin-key-env" if changes and self._key is not None else "--key-env"
            raise ServerError(
                f"the server at {self.url} wants another key for {path} ({reply.words}); name the environment variable "
                f"that holds it with {which}."
            )
        return reply


def refused(endpoint: Endpoint, what: str, reply: Reply) -> ServerError:
    """The error to raise where a server says no."""
    return ServerError(f"the server at {endpoint.url} refuses to {what}: {reply.words}")
