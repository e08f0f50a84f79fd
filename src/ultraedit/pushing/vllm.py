"""vLLM: adapters by name, or whole weights through its development routes.

Seen at work with vLLM 0.32 on a CPU; the contracts of 0.33 were read in its source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ultraedit.errors import ServerError
from ultraedit.pushing.asking import Asker
from ultraedit.pushing.endpoint import LOADING, Endpoint, Reply, refused
from ultraedit.pushing.way import RankTooHigh, Way

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
NOWHERE = "/ultraedit-asks-whether-adapters-are-taken"
"""A folder that is not there: a server that takes adapters says that it does not find it."""
_RANK = re.compile(r"max_lora_rank\D{0,3}(\d+)")


def models(endpoint: Endpoint) -> list[dict[str, Any]]:
    """What `/v1/models` lists.  Raises ServerError where that is nothing."""
    reply = endpoint.get("/v1/models")
    rows = reply.json.get("data")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not reply.ok or not found:
        raise ServerError(
            f"the server at {endpoint.url} lists no model at /v1/models ({reply.words}); wait until it is up."
        )
    return found


def settings(endpoint: Endpoint) -> dict[str, Any] | None:
    """vLLM's own settings; None where they are not told, which takes VLLM_SERVER_DEV_MODE."""
    found = endpoint.get("/server_info?config_format=json").json.get("vllm_config")
    return found if isinstance(found, dict) else None


class _Vllm(Way):
    """What both ways know of the server's own model."""

    def __init__(self, endpoint: Endpoint, server: str, rank: int | None = None) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version.
            rank: The highest rank that it takes; None where it does not say.

        Raises:
            ServerError: Where it lists no model.
        """
        super().__init__(endpoint, server, rank)
        self._base = next(row for row in models(endpoint) if not row.get("parent"))

    def base_path(self) -> str:
        return str(self._base.get("root") or self._base["id"])


class VllmLora(_Vllm):
    """Every version is an adapter with a name of its own; requests choose it by "model"."""

    takes = "lora"
    names_versions = True

    def __init__(self, endpoint: Endpoint, server: str) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version.

        Raises:
            ServerError: Where it lists no model.
        """
        told = settings(endpoint)
        self._lora = None if told is None else told.get("lora_config") or {}
        rank = (self._lora or {}).get("max_lora_rank")
        super().__init__(endpoint, server, int(rank) if rank else None)

    def lacks(self) -> list[str]:
        probe = self.endpoint.change(LOAD, {})
        missing = []
        if probe.status == 404:
            missing.append("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment")
        if self._lora is not None:
            enabled = bool(self._lora)
        elif missing:
            return [*missing, "and --enable-lora, if it was started without"]
        else:
            asked = {"lora_name": NOWHERE.strip("/"), "lora_path": NOWHERE}
            enabled = self.endpoint.change(LOAD, asked).status == 404
        return missing if enabled else [*missing, "--enable-lora --max-lora-rank N"]

    def base(self) -> Asker:
        return Asker(self.endpoint, str(self._base["id"]))

    def loaded(self) -> dict[str, str]:
        return {
            str(row["id"]): str(row.get("root"))
            for row in models(self.endpoint)
            if row.get("parent")
        }

    def load(self, name: str, place: str) -> Asker:
        if name not in self.loaded():
            self._load(name, place, in_place=False)
            self._undo.append(lambda: self.unload(name))
        return Asker(self.endpoint, name)

    def rename(self, name: str, place: str) -> Asker:
        former = self.loaded().get(name)
        # in place there is no moment without an answer, and the prefix cache knows versions by their path
        self._load(name, place, in_place=former is not None)
        if former is None:
            self._undo.append(lambda: self.unload(name))
        else:
            self._undo.append(lambda: self._load(name, former, in_place=True))
        return Asker(self.endpoint, name)

    def unload(self, name: str) -> None:
        reply = self.endpoint.change(UNLOAD, {"lora_name": name})
        if not reply.ok and reply.status != 404:
            raise refused(self.endpoint, f'forget "{name}"', reply)

    def _load(self, name: str, place: str, *, in_place: bool) -> None:
        body = {"lora_name": name, "lora_path": place, "load_inplace": in_place}
        reply = self.endpoint.change(LOAD, body, patience=LOADING)
        if reply.ok:
            return
        most = _RANK.search(reply.words)
        if most:
            raise RankTooHigh(int(most[1]))
        raise _unseen(self.endpoint, place, reply)


class VllmWeights(_Vllm):
    """The whole model is read anew from a folder, through routes that vLLM has in development mode only."""

    takes = "merged"
    names_versions = False

    def __init__(self, endpoint: Endpoint, server: str) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version.

        Raises:
            ServerError: Where it lists no model.
        """
        super().__init__(endpoint, server)
        self._former = self.base_path()

    def lacks(self) -> list[str]:
        if self.endpoint.get("/is_paused").status == 404:
            return ["VLLM_SERVER_DEV_MODE=1 in its environment"]
        told = settings(self.endpoint) or {}
        kind = (told.get("model_config") or {}).get("quantization")
        return (
            []
            if kind is None
            else [f"weights that are not quantised (they are {kind}): use --how lora"]
        )

    def base(self) -> None:
        return None

    def loaded(self) -> dict[str, str]:
        version = self.endpoint.get("/weight_info").json.get("weight_version")
        return {} if not version else {str(version): ""}

    def remember(self, places: Mapping[str, str]) -> None:
        version = next(iter(self.loaded()), "")
        self._former = places.get(version, self._former)

    def load(self, name: str, place: str) -> Asker:
        version = str(self.endpoint.get("/weight_info").json.get("weight_version") or "default")
        self._undo.append(lambda: self._read(version, self._former))
        self._read(name, place)
        return Asker(self.endpoint, str(self._base["id"]))

    def _read(self, version: str, place: str) -> None:
        """Requests that run come to their end first; the server goes on answering whatever happens."""
        self._must("/pause?mode=wait", {}, "pause")
        try:
            asked = {
                "method": "reload_weights",
                "kwargs": {"weights_path": place, "is_checkpoint_format": True},
            }
            reply = self.endpoint.change("/collective_rpc", asked, patience=LOADING)
            if not reply.ok:
                raise _unseen(self.endpoint, place, reply)
            self._must("/reset_prefix_cache", {}, "forget what it had computed")
            self._must("/update_weight_version", {"new_version": version}, "note the version")
        finally:
            self._must("/resume", {}, "go on")

    def _must(self, path: str, body: dict[str, Any], what: str) -> None:
        reply = self.endpoint.change(path, body, patience=LOADING)
        if not reply.ok or reply.json.get("success") is False:
            raise refused(self.endpoint, what, reply)


def _unseen(endpoint: Endpoint, place: str, reply: Reply) -> ServerError:
    return ServerError(
        f"the server at {endpoint.url} does not load '{place}': {reply.words}; where it sees that folder under another "
        "path, give --folder LOCAL=SERVER."
    )
