"""What the command line needs of a server: a change sent, and found again where the connection broke.

The standard library is enough, so that no extra is needed to edit a server from afar.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ultraedit.errors import ConfigError, WorkspaceError

PATIENCE = 3600.0
"""Seconds to wait for one answer: a replay may write thousands of edits again."""
TRIES = 5
"""Times that a request is sent where the connection breaks, or the server has too much to do."""


class Client:
    """Sends changes to `ultraedit serve`."""

    def __init__(self, url: str, key: str) -> None:
        """
        Args:
            url: Where the server is, as http://host:port.
            key: An admin's key.

        Raises:
            ConfigError: For what is no such address.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise ConfigError(
                f'"{url}" is not the address of a server; give --server one like http://127.0.0.1:8000.'
            )
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._key = key

    def require(self, workspace: str, identity: str | None) -> dict[str, Any]:
        """Make sure that the server serves the workspace that is meant.

        Args:
            workspace: As the user named it: a folder, or the name of the model at the server.
            identity: Digest of the first commit, where it is a folder here.

        Returns:
            What the server says of itself.

        Raises:
            ConfigError: Where it serves another one.
        """
        found = self.call("GET", "/version")
        same = (
            found.get("model") == workspace
            if identity is None
            else found.get("workspace") == identity
        )
        if not same:
            raise ConfigError(
                f'the server at {self._url} serves another workspace (its model is "{found.get("model")}") and not '
                f"'{workspace}'; give its folder, or that name, and nothing was changed."
            )
        return found

    def change(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Send a change once, however often the connection breaks on the way.

        Raises:
            WorkspaceError: With the server's own sentence, where it refuses.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self.call(method, path, body, headers)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request and its JSON answer; {} for an empty one."""
        pause = 0.5
        for attempt in range(1, TRIES + 1):
            try:
                status, wait, text = self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                if attempt == TRIES:
                    raise WorkspaceError(
                        f"the server at {self._url} does not answer ({error or type(error).__name__}); is it still "
                        "running?"
                    ) from error
                status, wait, text = 0, None, b""
            # the request with this key may still be running at the server: ask again until it is answered
            running = status == 409 and wait is not None
            if status and not running and (status not in (429, 503) or attempt == TRIES):
                return self._read(status, text)
            if not running:
                pause *= 2
            time.sleep(min(wait if wait is not None else pause, 30))
        raise WorkspaceError(
            f"the server at {self._url} is still busy with this change; `ultraedit log` will show it when it is done."
        )

    def _once(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, float | None, bytes]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=PATIENCE)
        sent = {"Authorization": f"Bearer {self._key}"} | dict(headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, self._prefix + quote(path, safe="/?=&@"), data, sent)
            response = connection.getresponse()
            wait = response.headers.get("Retry-After", "")
            return response.status, float(wait) if wait.isdigit() else None, response.read()
        finally:
            connection.close()

    def _read(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            found = None
        if not isinstance(found, dict) or (status >= 400 and "error" not in found):
            raise WorkspaceError(
                f"what answers at {self._url} is no `ultraedit serve` (status {status}); check the address."
            )
        if status >= 400:
            raise WorkspaceError(
                f"the server at {self._url} says: {found['error'].get('message', status)}"
            )
        return found
