"""What the scripts that measure `ultraedit serve` share: a server process, requests to it, streams."""

from __future__ import annotations

import argparse
import atexit
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "model"


@dataclass
class Server:
    """A running `ultraedit serve`."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path

    def send(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """One request: its status and its JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), sent | headers
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def stop(self) -> int:
        """SIGTERM; returns how it ended."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process in MB."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss / 1e6


def start(workspace: Path, *options: str) -> Server:
    """Start a server and wait until it is ready."""
    key = secrets.token_urlsafe(24)
    environment = os.environ | {"ULTRAEDIT_ADMIN_KEY": key}
    command = [sys.executable, "-m", "ultraedit", "serve", str(workspace), "--port", "0"]
    log = Path(tempfile.mkstemp(prefix="serve-", suffix=".log")[1])
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--name", NAME, *options], stderr=file, env=environment
        )
    atexit.register(process.kill)  # where the script breaks off; one that has ended does not mind
    while not (found := re.search(r"http://127.0.0.1:(\d+)", log.read_text())):
        if process.poll() is not None:
            sys.exit(f"the server did not start: {log.read_text()}")
        time.sleep(0.1)
    server = Server(process, int(found[1]), key, log)
    while server.send("GET", "/ready")[0] != 200:
        if process.poll() is not None:
            sys.exit(f"the server did not start: {log.read_text()}")
        time.sleep(0.2)
    return server


@contextmanager
def workspace_in(place: Path | None, model: str, dtype: str) -> Iterator[Path]:
    """A fresh workspace of a model, in a folder that is given or goes away again."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (place or Path(scratch)) / "ws"
        command = [sys.executable, "-m", "ultraedit", "init", str(folder), "--model", model]
        subprocess.run([*command, "--dtype", dtype, "--undo-window", "40"], check=True)
        yield folder


@dataclass
class Stream:
    """One streamed answer, read on a thread of its own."""

    server: Server
    body: dict[str, Any]
    path: str = "/v1/chat/completions"
    text: str = ""
    version: str = ""
    tokens: int = 0
    error: str = ""
    times: list[float] = field(default_factory=list)
    """Seconds from the request to each piece of text."""

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def join(self) -> Stream:
        """Wait for the end."""
        self._thread.join()
        return self

    def _read(self) -> None:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        head = {
            "Authorization": f"Bearer {self.server.key}",
            "Content-Type": "application/json",
        }
        body = self.body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            connection.request("POST", self.path, json.dumps(body), head)
            response = connection.getresponse()
            if response.status != 200:
                self.error = response.read().decode()
                return
            for line in response:
                if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                    continue
                found = json.loads(line[6:])
                if "error" in found:
                    self.error = found["error"]["message"]
                    return
                self.version = found.get("system_fingerprint", self.version)
                if found.get("usage"):
                    self.tokens = found["usage"]["completion_tokens"]
                for choice in found["choices"]:
                    piece = choice.get("delta", {}).get("content") or choice.get("text") or ""
                    if piece:
                        self.text += piece
                        self.times.append(time.perf_counter() - began)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = repr(error)
        finally:
            connection.close()


def facts(count: int) -> list[dict[str, str]]:
    """Bundled facts, numbered ones behind them where there are not enough."""
    from ultraedit.data.bundled import facts_path
    from ultraedit.data.read import read_records

    rows = [{"prompt": r.prompt, "target": r.target} for r in read_records(facts_path())]
    rows += [
        {"prompt": f"What is the number of house {i} in Quill?", "target": str(7 * i)}
        for i in range(max(0, count - len(rows)))
    ]
    return rows[:count]


def median(values: list[float]) -> float:
    """The middle one."""
    import statistics

    return statistics.median(values) if values else float("nan")


def parser(what: str) -> argparse.ArgumentParser:
    """The options that all of these scripts take."""
    made = argparse.ArgumentParser(description=what)
    made.add_argument("--model", default="smollm2")
    made.add_argument("--dtype", default="float32")
    made.add_argument("--out", type=Path, help="Write the figures to this JSON file.")
    return made


def tell(figures: dict[str, Any], out: Path | None) -> None:
    """Print figures, and keep them."""
    print(json.dumps(figures, indent=2))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")
