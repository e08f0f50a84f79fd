"""llama.cpp: adapters are given at its start, and switched by their scale while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ultraedit.errors import ServerError
from ultraedit.pushing.asking import Asker
from ultraedit.pushing.endpoint import Endpoint, refused
from ultraedit.pushing.way import Way

ADAPTERS = "/lora-adapters"


class LlamaCppLora(Way):
    """A version is a file that the server was started with; one is switched on at a time.

    Until its answers were right the file is asked by requests that name it, so that nobody else hears it.
    """

    takes = "gguf-lora"
    names_versions = False

    def __init__(self, endpoint: Endpoint, server: str, props: dict[str, Any]) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version.
            props: Its `/props`.
        """
        super().__init__(endpoint, server)
        self._props = props
        self._chosen: int | None = None
        self._ours: frozenset[str] = frozenset()

    def lacks(self) -> list[str]:
        return []

    def base(self) -> Asker:
        return self._asker(None)

    def base_path(self) -> str:
        return str(self._props.get("model_path") or "its GGUF file")

    def loaded(self) -> dict[str, str]:
        return {str(row["path"]): str(row["path"]) for row in self._adapters()}

    def remember(self, places: Mapping[str, str]) -> None:
        self._ours = frozenset(places.values())

    def load(self, name: str, place: str) -> Asker:
        found = [row for row in self._adapters() if row["path"] == place]
        if not found:
            raise ServerError(
                f"llama.cpp takes an adapter at its start only, and '{place}' was not there then; the file is ready: "
                f"start the server again with --lora {place} --lora-init-without-apply, and push again."
            )
        self._chosen = int(found[0]["id"])
        return self._asker(self._chosen)

    def settle(self) -> None:
        rows = self._adapters()
        before = [{"id": row["id"], "scale": row["scale"]} for row in rows]
        after = [{"id": row["id"], "scale": self._scale(row)} for row in rows]
        self._undo.append(lambda: self._set(before))
        self._set(after)

    def _scale(self, row: dict[str, Any]) -> float:
        if row["id"] == self._chosen:
            return 1.0
        return 0.0 if row["path"] in self._ours else float(row["scale"])

    def _set(self, scales: list[dict[str, Any]]) -> None:
        reply = self.endpoint.change(ADAPTERS, scales)
        if not reply.ok:
            raise refused(self.endpoint, "switch its adapters", reply)

    def _adapters(self) -> list[dict[str, Any]]:
        reply = self.endpoint.get(ADAPTERS)
        try:
            rows = json.loads(reply.body) if reply.ok else None
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            raise ServerError(
                f"the server at {self.endpoint.url} does not list its adapters at {ADAPTERS}: {reply.words}"
            )
        return [row for row in rows if isinstance(row, dict) and "id" in row and "path" in row]

    def _asker(self, chosen: int | None) -> Asker:
        scales = [
            {"id": row["id"], "scale": 1.0 if row["id"] == chosen else 0.0}
            for row in self._adapters()
        ]
        return Asker(self.endpoint, "", {"lora": scales} if scales else {})
