"""SGLang: adapters by name, or whole weights from a folder.  Its contracts were read in the source of 0.5.23."""

from __future__ import annotations

from typing import Any

from ultraedit.errors import ServerError
from ultraedit.pushing.asking import Asker
from ultraedit.pushing.endpoint import LOADING, Endpoint
from ultraedit.pushing.way import Way


class _Sglang(Way):
    def __init__(self, endpoint: Endpoint, server: str, told: dict[str, Any]) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version.
            told: Its `/server_info`.
        """
        rank = told.get("max_lora_rank")
        super().__init__(endpoint, server, int(rank) if rank else None)
        self._told = told

    def _info(self) -> dict[str, Any]:
        reply = self.endpoint.get("/model_info")
        if not reply.ok or not reply.json.get("model_path"):
            raise ServerError(
                f"the server at {self.endpoint.url} does not say what it serves: {reply.words}"
            )
        return reply.json

    def base_path(self) -> str:
        return str(self._info()["model_path"])

    def _name(self) -> str:
        info = self._info()
        return str(info.get("served_model_name") or info["model_path"])

    def _change(self, path: str, body: dict[str, Any], what: str) -> None:
        reply = self.endpoint.change(path, body, patience=LOADING)
        if not reply.ok or reply.json.get("success") is False:
            raise ServerError(f"the server at {self.endpoint.url} does not {what}: {reply.words}")


class SglangLora(_Sglang):
    """Every version is an adapter with a name of its own.

    A request for an adapter that is not there, named by its "model" alone, is answered by the base without a word, so
    the check names the adapter in "lora_path", which is refused then.
    """

    takes = "lora"
    names_versions = True

    def lacks(self) -> list[str]:
        missing = []
        if not self._told.get("enable_lora"):
            missing.append("--enable-lora --max-lora-rank N --lora-target-modules all")
        if int(self._told.get("dp_size") or 1) > 1:
            missing.append("--dp-size 1: data-parallel replicas load no adapter while they run")
        return missing

    def base(self) -> Asker:
        return Asker(self.endpoint, self._name())

    def loaded(self) -> dict[str, str]:
        rows = self.endpoint.get("/v1/models").json.get("data") or []
        return {str(r["id"]): str(r.get("root")) for r in rows if r.get("parent")}

    def load(self, name: str, place: str) -> Asker:
        if name not in self.loaded():
            self._load(name, place)
            self._undo.append(lambda: self.unload(name))
        return self._asker(name)

    def rename(self, name: str, place: str) -> Asker:
        former = self.loaded().get(name)
        if former is not None:  # a loaded name is refused, so for a moment it answers nothing
            self._undo.append(lambda: self._load(name, former))
            self.unload(name)
        self._load(name, place)
        self._undo.append(lambda: self.unload(name))
        return self._asker(name)

    def unload(self, name: str) -> None:
        self._change("/unload_lora_adapter", {"lora_name": name}, f'forget "{name}"')

    def _load(self, name: str, place: str) -> None:
        self._change(
            "/load_lora_adapter",
            {"lora_name": name, "lora_path": place},
            f"load '{place}' (where it sees that folder under another path, give --folder LOCAL=SERVER)",
        )

    def _asker(self, name: str) -> Asker:
        return Asker(self.endpoint, self._name(), {"lora_path": name})


class SglangWeights(_Sglang):
    """The whole model is read anew from a folder."""

    takes = "merged"
    names_versions = False

    def lacks(self) -> list[str]:
        kind = self._told.get("quantization")
        return (
            []
            if not kind
            else [f"weights that are not quantised (they are {kind}): use --how lora"]
        )

    def base(self) -> None:
        return None

    def loaded(self) -> dict[str, str]:
        info = self._info()
        return {str(info.get("weight_version") or ""): str(info["model_path"])}

    def load(self, name: str, place: str) -> Asker:
        info = self._info()
        former = str(info["model_path"])
        version = str(info.get("weight_version") or "default")
        # where reading fails the server itself "rolls back" to the new folder, whose path it has taken already
        self._undo.append(lambda: self._read(version, former))
        self._read(name, place)
        return Asker(self.endpoint, self._name())

    def _read(self, version: str, place: str) -> None:
        asked = {"model_path": place, "weight_version": version, "flush_cache": True}
        self._change(
            "/update_weights_from_disk",
            asked,
            f"read '{place}' (where it sees that folder under another path, give --folder LOCAL=SERVER)",
        )
