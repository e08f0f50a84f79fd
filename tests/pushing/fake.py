"""vLLM, SGLang and llama.cpp as they speak HTTP, strictly: what they do not know they refuse as the real ones do.

vLLM: seen with 0.32.0 at work, and the source of 0.33.  SGLang: the source of 0.5.23.  llama.cpp: its server's source.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pushing.engine import Engine

Reply = tuple[int, Any]
NOT_FOUND: Reply = (404, {"detail": "Not Found"})


class Lost(Exception):  # noqa: N818 - no error of the server's
    """The connection breaks before an answer."""


class Fake:
    """What all fakes share: requests noted, keys, and faults on demand."""

    def __init__(self, base: Path, *, key: str | None = None, admin_key: str | None = None) -> None:
        self.engine = Engine(base)
        self.path = str(base)
        self.key, self.admin_key = key, admin_key
        self.seen: list[str] = []
        """METHOD path of every request, in order."""
        self.lose: dict[str, int] = {}
        """Path -> how many requests to it are still answered; then the connection breaks."""
        self.lost = False
        """Nothing is answered any more."""
        self.lies = False
        """Answers are nonsense from now on."""
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, key: str) -> Reply:
        self.seen.append(f"{method} {path}")
        if path in self.lose:
            self.lose[path] -= 1
            self.lost = self.lost or self.lose[path] < 0
        if self.lost:
            raise Lost
        wanted = self.admin_key if self.admin_key and self.is_admin(path) else self.key
        if wanted is not None and key != wanted:
            return 401, {"error": "Unauthorized"}
        return self.route(method, path, query, body)

    def is_admin(self, path: str) -> bool:
        return False

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        raise NotImplementedError

    def changes(self) -> list[str]:
        """Requests that could have changed something."""
        reading = ("GET ", "POST /v1/completions")
        return [one for one in self.seen if not one.startswith(reading)]

    def completion(self, body: Any, adapters: dict[str, float], chat_like: bool = False) -> Reply:
        text, ids, likely = self.engine.complete(body["prompt"], body["max_tokens"], adapters)
        if self.lies:
            text, likely = "Zq!Zq!Zq!", [-9.0] * len(ids)
        told: dict[str, Any] = {"tokens": [str(i) for i in ids], "token_logprobs": likely}
        if chat_like:
            told = {"content": [{"id": i, "logprob": x} for i, x in zip(ids, likely, strict=True)]}
        return 200, {"choices": [{"index": 0, "text": text, "logprobs": told}]}


def _openai_error(status: int, kind: str, message: str) -> Reply:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}


class Vllm(Fake):
    def __init__(self, base: Path, **more: Any) -> None:
        self.lora, self.runtime = more.pop("lora", True), more.pop("runtime", True)
        self.dev, self.most = more.pop("dev", False), more.pop("most", 64)
        self.quantization = more.pop("quantization", None)
        super().__init__(base, **more)
        self.names: dict[str, str] = {}
        self.version = "default"
        self.weights = self.path
        self.paused = False

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if method == "GET":
            return self._get(path, query)
        if path == "/v1/completions":
            return self._complete(body)
        if path == "/v1/load_lora_adapter" and self.runtime:
            return self._load(body)
        if path == "/v1/unload_lora_adapter" and self.runtime:
            if self.names.pop(body["lora_name"], None) is None:
                message = f"The lora adapter '{body['lora_name']}' cannot be found."
                return _openai_error(404, "NotFoundError", message)
            return 200, f"Success: LoRA adapter '{body['lora_name']}' removed successfully."
        return self._develop(path, query, body) if self.dev else NOT_FOUND

    def _get(self, path: str, query: dict[str, str]) -> Reply:
        if path == "/version":
            return 200, {"version": "0.33.0"}
        if path == "/v1/models":
            rows = [{"id": "tiny", "root": self.path, "parent": None}]
            rows += [{"id": n, "root": p, "parent": "tiny"} for n, p in self.names.items()]
            return 200, {"object": "list", "data": rows}
        if not self.dev:
            return NOT_FOUND
        if path == "/server_info":
            assert query == {"config_format": "json"}
            lora = {"max_lora_rank": self.most} if self.lora else None
            told = {"lora_config": lora, "model_config": {"quantization": self.quantization}}
            return 200, {"vllm_config": told}
        if path == "/is_paused":
            return 200, {"is_paused": self.paused}
        return (200, {"weight_version": self.version}) if path == "/weight_info" else NOT_FOUND

    def _complete(self, body: Any) -> Reply:
        if self.paused:
            return _openai_error(503, "ServiceUnavailable", "The engine is paused.")
        if body["model"] == "tiny":
            return self.completion(body, {})
        if body["model"] not in self.names:
            message = f"The model `{body['model']}` does not exist."
            return _openai_error(404, "NotFoundError", message)
        return self.completion(body, {self.names[body["model"]]: 1.0})

    def _load(self, body: Any) -> Reply:
        name, place = body.get("lora_name"), body.get("lora_path")
        if not name or not place:
            return _openai_error(400, "Bad Request", "2 validation errors: body.lora_name missing")
        if name == "tiny":
            message = "The lora adapter 'tiny' conflicts with a served base model."
            return _openai_error(400, "InvalidUserInput", message)
        if name in self.names and not body.get("load_inplace"):
            message = f"The lora adapter '{name}' has already been loaded."
            return _openai_error(400, "InvalidUserInput", message)
        if not self.lora:
            return _openai_error(500, "InternalServerError", "Call to add_lora method failed")
        try:
            rank = self.engine.rank_of(Path(place))
        except OSError:
            message = f"Loading lora {name} failed: No adapter found for {place}"
            return _openai_error(404, "NotFoundError", message)
        if rank > self.most:
            message = (
                f"Call to add_lora method failed: Worker failed with error 'LoRA rank {rank} is greater than "
                f"max_lora_rank {self.most}.', please check the stack trace above for the root cause"
            )
            return _openai_error(500, "InternalServerError", message)
        self.engine.read_adapter(place)
        self.names[name] = place
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _develop(self, path: str, query: dict[str, str], body: Any) -> Reply:
        if path == "/pause":
            assert query == {"mode": "wait"}
            self.paused = True
            return 200, {"status": "paused"}
        if path == "/resume":
            self.paused = False
            return 200, {"status": "resumed"}
        if path == "/reset_prefix_cache":
            return 200, {"success": True}
        if path == "/update_weight_version":
            self.version = body["new_version"]
            return 200, {"success": True, "new_version": self.version}
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            place = body["kwargs"]["weights_path"]
            if not Path(place).is_dir():  # seen: the engine dies, and the server with it
                self.lose["/resume"] = 0
                message = "Call to collective_rpc method failed: Worker failed"
                return _openai_error(500, "InternalServerError", message)
            self.engine.read_weights(Path(place))
            self.weights = place
            return 200, {"results": [None]}
        return NOT_FOUND


class Sglang(Fake):
    ADMIN = ("/load_lora_adapter", "/unload_lora_adapter", "/update_weights_from_disk")

    def __init__(self, base: Path, **more: Any) -> None:
        self.lora, self.most = more.pop("lora", True), more.pop("most", 64)
        self.quantization = more.pop("quantization", None)
        super().__init__(base, **more)
        self.names: dict[str, str] = {}
        self.version = "default"
        self.model_path = self.path
        self.spoils = False
        """Reading new weights fails half-way, as an interrupted disk makes it."""

    def is_admin(self, path: str) -> bool:
        return path in self.ADMIN

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if (method, path) == ("GET", "/model_info"):
            told = {"model_path": self.model_path, "served_model_name": "tiny"}
            return 200, told | {"weight_version": self.version}
        if (method, path) == ("GET", "/server_info"):
            told = {"version": "0.5.23", "enable_lora": self.lora, "dp_size": 1}
            return 200, told | {"max_lora_rank": self.most, "quantization": self.quantization}
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"id": "tiny", "root": "tiny", "parent": None}]
            rows += [{"id": n, "root": p, "parent": "tiny"} for n, p in self.names.items()]
            return 200, {"object": "list", "data": rows}
        if (method, path) == ("POST", "/v1/completions"):
            name = body.get("lora_path") or body["model"].partition(":")[2]
            if name and name not in self.names:
                message = f"The following requested LoRA adapters are not loaded: {name}"
                return 400, {"object": "error", "message": message, "code": 400}
            # an unknown "model" without a colon is answered by the base
            return self.completion(body, {self.names[name]: 1.0} if name else {})
        if method == "POST" and path in self.ADMIN:
            return self._change(path, body)
        return NOT_FOUND

    def _change(self, path: str, body: Any) -> Reply:
        if path == "/update_weights_from_disk":
            return self._read(Path(body["model_path"]), body)
        if not self.lora:
            return self._no("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")
        name = body["lora_name"]
        if path == "/unload_lora_adapter":
            if self.names.pop(name, None) is None:
                return self._no(f"LoRA adapter with name {name} does not exist.")
            return 200, {"success": True, "loaded_adapters": self.names}
        if name in self.names:
            return self._no(f"Failed to load LoRA adapter {name} because it is already loaded")
        try:
            rank = self.engine.rank_of(Path(body["lora_path"]))
        except OSError as error:
            return self._no(str(error))
        if rank > self.most:
            return self._no(f"LoRA adapter {name} with rank {rank} is incompatible")
        self.engine.read_adapter(body["lora_path"])
        self.names[name] = body["lora_path"]
        return 200, {"success": True, "loaded_adapters": self.names}

    def _no(self, why: str) -> Reply:
        return 400, {"success": False, "error_message": why, "loaded_adapters": self.names}

    def _read(self, folder: Path, body: Any) -> Reply:
        try:
            self.engine.read_weights(folder)
        except OSError as error:
            return 400, {"success": False, "message": f"Failed to get weights iterator: {error}."}
        if self.spoils:
            self.spoils = False
            # the trap: it "rolls back" by reading the path that it has switched to already
            why = "Failed to update weights: half a shard.\nRolling back to original weights."
            return 400, {"success": False, "message": why}
        self.model_path, self.version = body["model_path"], body["weight_version"]
        return 200, {"success": True, "message": "Succeeded to update model weights."}


class LlamaCpp(Fake):
    def __init__(self, base: Path, **more: Any) -> None:
        files = more.pop("files", [])
        super().__init__(base, **more)
        for file in files:
            self.engine.read_adapter(str(file))
        self.rows = [{"id": i, "path": str(f), "scale": 0.0} for i, f in enumerate(files)]

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if (method, path) == ("GET", "/props"):
            told = {"default_generation_settings": {}, "model_path": self.path}
            return 200, told | {"build_info": "b9000"}
        if path == "/lora-adapters":
            if method == "GET":
                return 200, self.rows
            scales = {row["id"]: row["scale"] for row in body}
            for row in self.rows:
                row["scale"] = scales.get(row["id"], 0.0)
            return 200, {"success": True}
        if (method, path) == ("POST", "/v1/completions"):
            scales = {row["path"]: row["scale"] for row in self.rows}
            if "lora" in body:
                asked = {row["id"]: row["scale"] for row in body["lora"]}
                scales = {row["path"]: asked.get(row["id"], 0.0) for row in self.rows}
            return self.completion(body, scales, chat_like=True)
        return 404, {"error": {"code": 404, "message": "File Not Found"}}


@contextmanager
def running(fake: Fake) -> Iterator[Fake]:
    """The fake at an address of this machine, inside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, format: str, *args: Any) -> None:
            return

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            parts = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            try:
                status, found = fake.answer(method, parts.path, query, body, key)
            except Lost:
                self.close_connection = True
                return
            data = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
