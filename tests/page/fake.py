"""A small server that keeps to the API's contract with recorded answers, so that the page is tested without a model.

It lives in threads of the test's own process: a test may read and change `server.world` while the page is open.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import ultraedit

PAGE = Path(ultraedit.__file__).parent / "serving" / "page"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ORIGINAL = "I am not sure who that is, but it is a well-known company in the food business."
THRESHOLDS = {
    "perplexity_ratio": {"amber": 1.5, "red": 2.5},
    "shift_ratio": {"amber": 4.0, "red": 10.0},
    "success": {"amber": 0.7, "red": 0.3},
    "reservoir": {"amber": 0.5, "red": 0.15},
}


@dataclass
class World:
    """What the server knows; every change happens under `lock`."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    key: str = ""
    """Where not empty, every route of the API wants it."""
    ready: bool = True
    head: int = 0
    turns: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    """Question -> what the original model says."""
    pace: float = 0.0
    """Seconds between two words of a stream."""
    cut: bool = False
    """Break streams of answers off where they are."""
    turn_seconds: float = 0.0
    """How long a turn runs."""
    refusals: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """(status, error, headers): the next writes are refused with these, first one first."""
    writes: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    """(method, path, If-Match, Idempotency-Key) of every write that came in."""
    compared: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of /compare."""
    listeners: list[list[bytes | None]] = field(default_factory=list)

    @property
    def version(self) -> str:
        return f"t{self.head}-{self.head:012x}"

    def path(self, turn: int | None = None) -> list[dict[str, Any]]:
        rows = {row["turn"]: row for row in self.turns}
        at, found = self.head if turn is None else turn, []
        while at:
            found.insert(0, rows[at])
            at = rows[at]["parent"]
        return found

    def status(self, edit: dict[str, Any], turn: int | None = None) -> dict[str, Any]:
        path = self.path(turn)
        on = {row["turn"] for row in path}
        removed = {n for row in path for n in row["removes"]}
        if edit["turn"] not in on:
            return {"status": "undone"}
        if edit["edit"] in removed:
            return {"status": "removed"}
        later = [
            e
            for e in self.edits
            if e["turn"] in on
            and e["edit"] > edit["edit"]
            and e["prompt"] == edit["prompt"]
            and e["edit"] not in removed
        ]
        if later:
            return {"status": "superseded", "superseded_by_edit": later[0]["edit"]}
        return {"status": "current"}

    def knows(self, question: str, turn: int) -> str | None:
        """The edited answer at a state."""
        for edit in reversed(self.edits):
            if (
                question in (edit["prompt"], *edit["rephrases"])
                and self.status(edit, turn)["status"] == "current"
            ):
                return edit["target"]
        return None

    def write(self, facts: list[dict[str, Any]], **readings: Any) -> dict[str, Any]:
        """One turn; `readings` go over the health it is recorded with."""
        with self.lock:
            number = max((row["turn"] for row in self.turns), default=0) + 1
            health = {
                "level": "green",
                "perplexity_ratio": 1 + 0.006 * len(self.path()) + 0.004,
                "shift_ratio": 0.02 * (len(self.path()) + 1) ** 0.7,
                "success": 1.0,
                "reservoir": 1.0 if number % 5 == 0 else None,
                "reasons": [],
            } | readings
            first = len(self.edits) + 1
            receipts = []
            for at, fact in enumerate(facts):
                receipt = {
                    "id": f"edit-{first + at}",
                    "prompt": fact["prompt"],
                    "target": fact["target"],
                    "turn": number,
                    "probability_before": 9.7e-14,
                    "probability_after": 0.8 + 0.19 * ((first + at) * 7 % 10) / 10,
                    "learned": True,
                    "superseded_by": None,
                    "line": None,
                    "seconds": 1.3,
                    "moved": {"model.layers.24.mlp.down_proj": 0.018},
                }
                receipts.append(receipt)
            for at, (fact, receipt) in enumerate(zip(facts, receipts, strict=True)):
                self.edits.append(
                    {
                        "edit": first + at,
                        "rephrases": fact.get("rephrases", []),
                        **{
                            k: receipt[k]
                            for k in (
                                "id", "turn", "prompt", "target", "probability_before", "probability_after", "learned"
                            )
                        },
                    }
                )  # fmt: skip
            self.turns.append(
                {
                    "turn": number,
                    "parent": self.head,
                    "kind": "edit",
                    "time": "2026-11-27T18:50:14.742+00:00",
                    "first_edit": first,
                    "edits": len(facts),
                    "removes": [],
                    "seconds": 1.3,
                    "health": health,
                }
            )
            self.head = number
            return {
                "turn": number,
                "previous_version": f"t{self.turns[-1]['parent']}-0",
                "receipts": receipts,
                "health": health,
                "weight_version": self.version,
            }

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to every open page."""
        line = f"data: {json.dumps(event)}\n\n".encode()
        with self.lock:
            for queue in self.listeners:
                queue.append(line)

    def hang_up(self) -> None:
        """End every open stream of events."""
        with self.lock:
            for queue in self.listeners:
                queue.append(None)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    # -- answers -------------------------------------------------------------------------------------

    def send(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(
        self, status: int, message: str, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        error = {"message": message, "type": "Error", "param": None, "code": status, **more}
        self.send(status, {"error": error}, headers)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, found: Any) -> None:
        data = found if isinstance(found, str) else json.dumps(found)
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    # -- routes --------------------------------------------------------------------------------------

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        name = "index.html" if url.path == "/" else url.path.removeprefix("/")
        file = PAGE / name
        if "/" not in name and file.suffix in KINDS and file.is_file():
            data = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", KINDS[file.suffix])
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(data)
            return
        if not self.allowed():
            return
        world = self.server.world
        with world.lock:
            if url.path == "/version":
                self.send(
                    200,
                    {
                        "version": "0.1.0",
                        "model": "smollm2",
                        "form": "chat",
                        "ready": world.ready,
                        "weight_version": world.version,
                    },
                )
                return
            if url.path == "/history":
                self.send(
                    200,
                    {
                        "head": world.head,
                        "weight_version": world.version,
                        "turns": world.turns,
                        "thresholds": THRESHOLDS,
                    },
                )
                return
            if url.path == "/edits":
                self.send(200, self.listed(parse_qs(url.query)))
                return
            if url.path == "/marks":
                data = [{"name": name, "turn": turn} for name, turn in world.marks.items()]
                self.send(200, {"object": "list", "data": data})
                return
        if url.path == "/events":
            self.events()
            return
        self.refuse(404, f'there is no "{url.path}"')

    def listed(self, asked: dict[str, list[str]]) -> dict[str, Any]:
        world = self.server.world
        limit = int(asked["limit"][0])
        rows = [{**edit, **world.status(edit)} for edit in reversed(world.edits)]
        if "after" in asked:
            rows = [row for row in rows if row["edit"] < int(asked["after"][0])]
        return {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit}

    def events(self) -> None:
        queue: list[bytes | None] = []
        world = self.server.world
        with world.lock:
            world.listeners.append(queue)
        self.begin_stream()
        try:
            self.wfile.write(b": open\n\n")
            self.wfile.flush()
            while not self.server.stopping.wait(0.01):
                while queue:
                    line = queue.pop(0)
                    if line is None:
                        return
                    self.wfile.write(line)
                    self.wfile.flush()
        except OSError:
            return  # the page was closed
        finally:
            with world.lock:
                world.listeners.remove(queue)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if not self.allowed():
            return
        if self.path == "/compare":
            self.compare(body)
            return
        if not self.may_write():
            return
        world = self.server.world
        if self.path == "/edits":
            if world.turn_seconds:
                for step in range(1, 5):
                    world.tell(
                        {
                            "type": "step",
                            "step": step,
                            "steps": 4,
                            "edits": len(body["edits"]),
                            "waiting": 0,
                        }
                    )
                    time.sleep(world.turn_seconds / 4)
            answer = world.write(body["edits"])
            world.tell({"type": "committed", "turn": answer["turn"]})
            self.send(200, answer)
        elif self.path == "/undo":
            with world.lock:
                last = world.path()[-1]
                world.head = last["parent"]
                rest = world.edits[
                    last["first_edit"] - 1 : last["first_edit"] - 1 + last["edits"] - body["count"]
                ]
            if rest:
                world.write(rest)
            self.done(f"{body['count']} edit undone.")
        elif self.path == "/rollback":
            to = body["to"]
            world.head = 0 if to == "base" else world.marks.get(to, to)
            self.done(f"the workspace stands at turn {world.head}; exact to the bit.")
        else:
            self.refuse(404, f'there is no "{self.path}"')

    def done(self, text: str) -> None:
        world = self.server.world
        world.tell({"type": "undone"})
        self.send(200, {"text": text, "head": world.head, "weight_version": world.version})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.allowed() and self.may_write():
            world = self.server.world
            world.marks[unquote(self.path.removeprefix("/marks/"))] = world.head
            self.send(201, {"turn": world.head})

    def do_DELETE(self) -> None:
        if not (self.allowed() and self.may_write()):
            return
        world = self.server.world
        url = urlsplit(self.path)
        if url.path.startswith("/marks/"):
            del world.marks[unquote(url.path.removeprefix("/marks/"))]
            self.send(204)
            return
        number = int(url.path.removeprefix("/edits/"))
        with world.lock:
            turn = max(row["turn"] for row in world.turns) + 1
            world.turns.append(
                {
                    "turn": turn,
                    "parent": world.head,
                    "kind": "subtract",
                    "time": "2026-11-27T18:50:14.742+00:00",
                    "first_edit": len(world.edits) + 1,
                    "edits": 0,
                    "removes": [number],
                    "seconds": 0.0,
                    "health": None,
                }
            )
            world.head = turn
        self.done(f"edit #{number} was taken out ({parse_qs(url.query)['how'][0]}).")

    def compare(self, body: dict[str, Any]) -> None:
        world = self.server.world
        world.compared.append(body)
        texts, versions, odds = [], [], []
        for side, model in enumerate(body["models"]):
            _, _, at = model.partition("@")
            turn = (
                world.head
                if not at
                else 0
                if at == "base"
                else int(at.removeprefix("turn:"))
                if at.startswith("turn:")
                else world.marks[at]
            )
            question = body["prompt"] if "prompt" in body else body["messages"][side][-1]["content"]
            known = world.knows(question, turn)
            texts.append((known or world.answers.get(question, ORIGINAL)).split(" "))
            versions.append(f"t{turn}-{turn:012x}")
            odds.append(0.93 if known and known == body.get("target") else 9.7e-14)
        self.begin_stream()
        try:
            for at in range(max(map(len, texts))):
                for side in (0, 1):
                    if at < len(texts[side]):
                        word = ("" if at == 0 else " ") + texts[side][at]
                        self.event(
                            {
                                "side": side,
                                "weight_version": versions[side],
                                "choices": [{"delta": {"content": word}, "finish_reason": None}],
                            }
                        )
                if world.cut:
                    return
                time.sleep(world.pace)
            for side in (0, 1):
                last: dict[str, Any] = {
                    "side": side,
                    "choices": [{"delta": {}, "finish_reason": "stop"}],
                }
                if "target" in body:
                    last["target_probability"] = odds[side]
                self.event(last)
            self.event("[DONE]")
        except OSError:
            return  # the page stopped it

    # -- guards --------------------------------------------------------------------------------------

    def allowed(self) -> bool:
        key = self.server.world.key
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self.refuse(401, "a key is needed")
            return False
        return True

    def may_write(self) -> bool:
        world = self.server.world
        match = self.headers.get("If-Match")
        world.writes.append((self.command, self.path, match, self.headers.get("Idempotency-Key")))
        if world.refusals:
            status, error, headers = world.refusals.pop(0)
            self.refuse(status, error.pop("message", "no"), headers, **error)
            return False
        if match != f'"{world.version}"':
            self.refuse(412, "the head moved")
            return False
        return True


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.world = World()
        self.stopping = threading.Event()
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, remembered so that `stop` can hang up on it."""
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def start(self) -> FakeServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hang up on everybody, and listen no more."""
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        for connection in self._connections:
            with suppress(OSError):  # closed long ago
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
