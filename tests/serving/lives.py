"""Servers that die.  A script: it loads torch once and forks a process for every life.

`python lives.py FOLDER KILLS FACTS` sends FACTS facts in turns of two to servers that are killed with SIGKILL at
random moments, again and again, and each turn again under its key until it is answered.  Prints one JSON object.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1])]
torch.set_num_threads(1)

from serving import served  # noqa: E402
from ultraedit.serving.app import build  # noqa: E402
from ultraedit.serving.limits import Limits  # noqa: E402
from ultraedit.serving.run import listen, serve  # noqa: E402
from ultraedit.serving.service import Service  # noqa: E402
from ultraedit.workspace.store import Store  # noqa: E402
from ultraedit.workspace.workspace import Workspace  # noqa: E402

TURN = 2
LOADED = served.loaded()


def born(folder: Path) -> tuple[int, int]:
    """Fork a server; returns its process id and port."""
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    pid = os.fork()
    if pid:
        bound.close()
        return pid, port
    try:
        os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        with Workspace.open(folder / "ws", write=True, loaded=LOADED) as workspace:
            service = Service(workspace, served.NAME, Limits())
            serve(build(service, served.keys()), service, bound, lambda: None)
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def send(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sent = {"Authorization": f"Bearer {served.ADMIN}", "Content-Type": "application/json"} | headers
    try:
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


def until_ready(port: int) -> None:
    for _ in range(600):
        try:
            if send(port, "GET", "/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server is not ready")


def kill_at_random(folder: Path, kills: int, count: int) -> dict[str, object]:
    served.make(folder).close()
    facts = [{"prompt": f"The number of house {i} is", "target": str(i * 7)} for i in range(count)]
    turns = [facts[at : at + TURN] for at in range(0, count, TURN)]
    dice = random.Random(0)
    killed = retried = 0
    answers: dict[int, Any] = {}
    pid, port = born(folder)
    until_ready(port)
    for number, turn in enumerate(turns):
        left = kills - killed
        doomed = left > 0 and dice.random() < left / (len(turns) - number)
        while number not in answers:
            if doomed:  # the server dies somewhere in this turn, or just behind it
                watch = os.fork()
                if watch == 0:
                    time.sleep(dice.random() * 0.15)
                    os.kill(pid, signal.SIGKILL)
                    os._exit(0)
            try:
                key = {"Idempotency-Key": f"turn-{number}"}
                status, body = send(port, "POST", "/edits", {"edits": turn}, **key)
                assert status == 200, body
                answers[number] = body
            except (OSError, http.client.HTTPException):
                retried += 1
            if doomed:
                os.waitpid(watch, 0)
                _, status = os.waitpid(pid, 0)
                assert status == signal.SIGKILL, f"a life ended with status {status}"
                killed += 1
                doomed = False
                dice.random()
                pid, port = born(folder)
                until_ready(port)
    again = [
        send(port, "POST", "/edits", {"edits": turn}, **{"Idempotency-Key": f"turn-{number}"})[1]
        for number, turn in enumerate(turns)
    ]
    os.kill(pid, signal.SIGTERM)
    _, ended = os.waitpid(pid, 0)
    store = Store.open(folder / "ws", write=True)
    store.close()
    return {
        "kills": killed,
        "retried": retried,
        "turns": len(turns),
        "same": sum(again[n] == answers[n] for n in answers),
        "commits": len(store.journal.commits) - 1,
        "edits": store.journal.edits,
        "in_order": [e.prompt for t in store.journal.turns for e in store.journal.rows(t)]
        == [fact["prompt"] for fact in facts],
        "ended": os.waitstatus_to_exitcode(ended),
    }


if __name__ == "__main__":
    print(json.dumps(kill_at_random(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
