"""A server as a process of its own: clients, other writers, hanging up, SIGTERM, and kill -9."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from cli.conftest import Run
from serving import lives, served
from serving.served import ADMIN, FACTS, NAME, READ


@dataclass
class Process:
    """`ultraedit serve` on a tiny workspace."""

    folder: Path
    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def send(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        return lives.send(self.port, method, path, body, **headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("lives")
    served.make(folder).close()
    environment = os.environ | {"ULTRAEDIT_API_KEY": READ, "ULTRAEDIT_ADMIN_KEY": ADMIN}
    command = [
        sys.executable,
        "-m",
        "ultraedit",
        "serve",
        str(folder / "ws"),
        "--port",
        "0",
        "--name",
        NAME,
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, text=True, env=environment)
    url = ""
    for _ in range(1200):
        found = re.search(r"http://127.0.0.1:\d+", (folder / "log").read_text())
        if found:
            url = found[0]
            break
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    made = Process(folder, process, url)
    lives.until_ready(made.port)
    yield made
    if process.poll() is None:
        process.kill()
        process.wait()


def test_the_openai_package(server: Process) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=READ, max_retries=0)
    assert {m.id for m in client.models.list()} == {NAME, f"{NAME}@base"}
    chat: Any = {
        "model": NAME,
        "messages": [{"role": "user", "content": "Who?"}],
        "max_tokens": 9,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**chat, logprobs=True, top_logprobs=1)
    assert whole.usage and whole.usage.completion_tokens == 9
    assert whole.choices[0].logprobs and len(whole.choices[0].logprobs.content or ()) == 9
    said = ""
    for chunk in client.chat.completions.create(
        **chat, stream=True, stream_options={"include_usage": True}
    ):
        said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage
    assert said == whole.choices[0].message.content and usage == whole.usage
    text = client.completions.create(model=NAME, prompt="A", max_tokens=3, logprobs=1, echo=True)
    assert text.choices[0].text.startswith("A")
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(**(chat | {"model": "other"}))
    assert unknown.value.param == "model"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            **chat, tools=[{"type": "function", "function": {"name": "f"}}]
        )
    assert refused.value.param == "tools"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="no").models.list()


def test_another_writer_is_told_who_holds_the_folder(server: Process, run: Run) -> None:
    ran = run("undo", str(server.folder / "ws"))
    assert ran.code == 2
    assert f"process {server.process.pid}" in ran.err and "ultraedit serve" in ran.err
    assert f"--server {server.url}" in ran.err
    assert run("log", str(server.folder / "ws")).code == 0  # readers are not blocked


def test_verbs_that_write_go_through_the_server(
    server: Process, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    space, to = str(server.folder / "ws"), ("--server", server.url)
    assert "ULTRAEDIT_ADMIN_KEY" in run("undo", space, *to).err
    monkeypatch.setenv("ULTRAEDIT_ADMIN_KEY", ADMIN)
    start = server.send("GET", "/history")[1]
    ran = run(
        "edit", space, FACTS[0]["prompt"], FACTS[0]["target"], "--rephrase", "Vell:", *to, "--json"
    )
    assert ran.code == 0, ran.err
    receipt = json.loads(ran.out)
    assert receipt["probability_after"] > receipt["probability_before"] and receipt["edit"] == 1
    assert run("mark", space, "one", *to).out == "one: turn 1\n"
    facts = tmp_path / "facts.jsonl"
    facts.write_text("".join(json.dumps(fact) + "\n" for fact in FACTS[1:6]))
    ran = run("edit", space, "--file", str(facts), "--turn-size", "2", *to)
    assert ran.code == 0 and "5 edits in 3 turns" in ran.out
    ran = run("undo", NAME, "--last", "2", *to, "--json")  # by the model's name there
    assert json.loads(ran.out)["edits"] == 2
    assert run("undo", space, "--edit", "#1", "--by", "subtract", *to).code == 0
    assert run("undo", space, "--edit", "#1", *to).err.startswith("error: the server at")
    assert run("undo", space, "--edit", "some-id", *to).code == 2
    assert run("rollback", space, "--to", "one", *to).code == 0
    marks = json.loads(run("mark", space, *to, "--json").out)["marks"]
    assert marks["one"] == 1
    assert run("mark", space, "one", "--delete", *to).out == "one: was turn 1\n"
    assert run("rollback", space, "--to", "base", *to).code == 0
    history = server.send("GET", "/history")[1]
    assert history["head"] == 0 and history["weight_version"] == start["weight_version"]
    for wrong in ("nonsense", "http://127.0.0.1:x", "ftp://127.0.0.1"):
        ran = run("undo", space, "--server", wrong)
        assert ran.code == 2 and wrong in ran.err
    other = served.make(tmp_path)
    other.close()
    ran = run("undo", str(tmp_path / "ws"), *to)
    assert ran.code == 2 and "serves another workspace" in ran.err
    assert run("undo", "another", *to).code == 2
    monkeypatch.setenv("ULTRAEDIT_ADMIN_KEY", READ)
    assert "may read and not write" in run("undo", space, *to).err


def test_who_hangs_up_frees_the_row(server: Process) -> None:
    import http.client

    running = re.compile(r'ultraedit_requests_running\{version="[^"]*"\} (\d)')

    def count() -> int:
        import urllib.request

        asked = urllib.request.Request(
            f"{server.url}/metrics", headers={"Authorization": f"Bearer {READ}"}
        )
        with urllib.request.urlopen(asked) as answer:
            found = running.search(answer.read().decode())
        return int(found[1]) if found else 0

    for stream in (True, False):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = {"model": NAME, "prompt": ["a"] * 16, "max_tokens": 150, "stream": stream, "n": 8}
        head = {"Authorization": f"Bearer {READ}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(body), head)
        if stream:
            response = connection.getresponse()
            response.read(10)
            response.close()
        else:
            deadline = time.monotonic() + 30
            while not count() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert count() == 1
        connection.close()
        deadline = time.monotonic() + 30
        while count() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert count() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "needs a key that you chose"),
        (["--host", "no.such.host.invalid"], "needs a key that you chose"),
        (["--name", "a@b"], "cannot be the model's name"),
        (["--allow-origin", "*"], "not the origin of a web page"),
        (["--keys", "nowhere"], "cannot be read"),
    ],
)
def test_starts_that_are_refused(
    run: Run, tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ULTRAEDIT_ADMIN_KEY", raising=False)
    monkeypatch.delenv("ULTRAEDIT_API_KEY", raising=False)
    served.make(tmp_path).close()
    ran = run("serve", str(tmp_path / "ws"), *arguments)
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1


def test_a_port_that_is_taken_is_one_sentence(server: Process, run: Run, tmp_path: Path) -> None:
    served.make(tmp_path).close()
    ran = run("serve", str(tmp_path / "ws"), "--port", str(server.port))
    assert ran.code == 2 and f"127.0.0.1:{server.port}" in ran.err and "Traceback" not in ran.err
    assert run("undo", str(tmp_path / "ws")).err.startswith(
        "error: there are 0 edits"
    )  # the lock is free


def test_a_log_line_a_request(server: Process) -> None:
    server.send("GET", "/v1/models/%0Aforged%20line")
    server.send("GET", "/health")  # a line is written once its request is over
    log = (server.folder / "log").read_text()
    path = re.escape(r"/v1/models/\nforged line")
    assert re.search(rf'^\S+ 127.0.0.1 admin GET "{path}" 404 \d+ms [0-9a-f]{{16}}$', log, re.M), (
        log
    )
    assert "\nforged" not in log
    assert ADMIN not in log and READ not in log


def test_sigterm_ends_streams_and_leaves_the_folder_whole(server: Process, run: Run) -> None:
    """The last test of this server."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    body = {"model": NAME, "prompt": "a", "max_tokens": 150, "stream": True, "n": 16}
    head = {"Authorization": f"Bearer {READ}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/completions", json.dumps(body), head)
    response = connection.getresponse()
    response.read(10)
    jobs = [
        server.send("POST", "/edits", {"edits": [fact]}, Prefer="respond-async")[0]
        for fact in FACTS[:5]
    ]
    assert jobs == [202] * 5
    server.process.send_signal(signal.SIGTERM)
    rest = response.read().decode()
    response.close()
    connection.close()
    assert rest.endswith("data: [DONE]\n\n") and '"code":503' in rest
    assert server.process.wait(60) == 0
    log = (server.folder / "log").read_text()
    assert "Traceback" not in log, log
    assert run("verify", str(server.folder / "ws")).code == 0
    assert run("undo", str(server.folder / "ws")).code in (0, 2)  # the lock is free


def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    script = Path(lives.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "3", "12"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "kills": 3, "retried": found["retried"], "turns": 6, "same": 6, "commits": 6, "edits": 12,
        "in_order": True, "ended": 0,
    }  # fmt: skip
