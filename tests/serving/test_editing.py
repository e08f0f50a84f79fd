"""The edits API: turns, going back, marks, who moved the head, and requests that are sent twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from serving import served
from serving.served import FACTS, NAME, Served
from ultraedit.errors import NumericalError, WorkspaceError
from ultraedit.serving.asks import Ask, Piece, Wish
from ultraedit.serving.limits import Limits
from ultraedit.serving.service import Service
from ultraedit.workspace.config import HealthConfig, Thresholds
from ultraedit.workspace.store import Store
from ultraedit.workspace.workspace import Workspace


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served.serving(tmp_path) as made:
        yield made


def head(server: Served) -> str:
    return server.client.get("/history").json()["weight_version"]


def test_a_turn_is_answered_with_its_receipts(server: Served) -> None:
    asked = [FACTS[0] | {"rephrases": ["Vell's capital is"]}, FACTS[1] | {"id": "mayor"}]
    found = server.edit(*asked)
    assert found.status_code == 200
    turn = found.json()
    assert turn["turn"] == turn["head"] == 1 and turn["health"]["level"] in (
        "green",
        "amber",
        "red",
    )
    assert found.headers["ETag"] == f'"{turn["weight_version"]}"' and turn[
        "weight_version"
    ] == head(server)
    first, second = turn["receipts"]
    assert (first["edit"], first["id"], second["id"]) == (1, "edit-1", "mayor")
    assert first["rephrases"] == ["Vell's capital is"]
    assert first["probability_after"] > first["probability_before"]
    on_disk = list(Store.open(server.workspace.store.folder).journal.rows(1))
    assert [row.prompt for row in on_disk] == [fact["prompt"] for fact in asked]
    assert server.client.get("/edits/2").json()["status"] == "current"
    assert server.client.get("/edits/3").status_code == 404


def test_lists_are_turned_over_page_by_page(server: Served) -> None:
    for low in range(0, 9, 3):
        server.edit(*FACTS[low : low + 3])
    server.client.post("/undo", json={"count": 3})
    get = server.client.get
    for order, numbers in (("desc", list(range(9, 0, -1))), ("asc", list(range(1, 10)))):
        found, after = [], None
        while True:
            query = {"order": order, "limit": 4} | ({} if after is None else {"after": after})
            page = get("/edits", params=query).json()
            found += [row["edit"] for row in page["data"]]
            after = page["last_id"]
            if not page["has_more"]:
                break
        assert found == numbers
    statuses = {row["edit"]: row["status"] for row in get("/edits").json()["data"]}
    assert statuses[1] == "current" and statuses[9] == "undone"
    history = get("/history").json()
    assert [row["turn"] for row in history["turns"]] == [1, 2, 3]
    assert [row["in_lineage"] for row in history["turns"]] == [True, True, False]
    assert history["head"] == 2


def test_undo_rollback_replay_and_subtract_change_what_is_said(server: Served) -> None:
    said = [server.complete("The capital of Vell is")["text"]]
    versions = [head(server)]
    for low in (0, 3):
        server.edit(*FACTS[low : low + 3])
        said.append(server.complete("The capital of Vell is")["text"])
        versions.append(head(server))
    post = server.client.post
    undone = post("/undo", json={"count": 3}).json()
    assert undone["weight_version"] == versions[1] and undone["edits"] == 3 and undone["exact"]
    assert server.complete("The capital of Vell is")["text"] == said[1]
    assert post("/rollback", json={"to": 2}).json()["weight_version"] == versions[2]
    assert server.complete("The capital of Vell is")["text"] == said[2]
    assert post("/rollback", json={"to": "base"}).json()["turn"] == 0
    assert server.complete("The capital of Vell is")["text"] == said[0]
    post("/rollback", json={"to": 2})
    replayed = server.client.delete("/edits/2")
    assert (
        replayed.status_code == 200
        and replayed.json()["rewritten"] == 5
        and replayed.json()["exact"]
    )
    listed = server.client.get("/edits", params={"limit": 5}).json()["data"]
    assert [row["again_of"] for row in listed] == [6, 5, 4, 3, 1]
    subtracted = server.client.delete(f"/edits/{listed[0]['edit']}", params={"how": "subtract"})
    assert subtracted.status_code == 200 and not subtracted.json()["exact"]
    assert server.client.get(f"/edits/{listed[0]['edit']}").json()["status"] == "removed"
    assert server.client.delete(f"/edits/{listed[0]['edit']}").status_code == 409
    assert server.client.delete("/edits/99").status_code == 404
    assert post("/undo", json={"count": 99}).status_code == 409
    assert post("/rollback", json={"to": "nowhere"}).status_code == 404
    assert server.client.get("/edits/2").json()["status"] == "undone"


def test_marks(server: Served) -> None:
    server.edit(FACTS[0])
    put, get, delete = server.client.put, server.client.get, server.client.delete
    assert put("/marks/good", json={}).status_code == 201
    server.edit(FACTS[1])
    assert put("/marks/good", json={}).status_code == 200  # moved
    assert put("/marks/old", json={"at": 1}).status_code == 201
    marks = {row["name"]: row["turn"] for row in get("/marks").json()["data"]}
    assert (marks["good"], marks["old"]) == (2, 1)
    assert server.complete("x", model=f"{NAME}@old") == server.complete("x", model=f"{NAME}@turn:1")
    assert delete("/marks/old").status_code == 204
    assert delete("/marks/old").status_code == 404
    assert put("/marks/head", json={}).status_code == 409
    assert put("/marks/new", json={"at": 77}).status_code == 404


@pytest.mark.parametrize("wrong", ["t0-000000000000", "x", '"t9-1"'])
def test_a_change_on_another_version_is_412(server: Served, wrong: str) -> None:
    right = head(server)
    for method, path, body in [
        ("POST", "/edits", {"edits": [FACTS[0]]}), ("POST", "/undo", {}), ("POST", "/rollback", {"to": "base"}),
        ("PUT", "/marks/a", {}),
    ]:  # fmt: skip
        found = server.client.request(method, path, json=body, headers={"If-Match": wrong})
        assert found.status_code == 412 and found.json()["weight_version"] == right
    assert head(server) == right
    for form in (f'"{right}"', f'W/"{right}"', right, "*"):
        found = server.client.put("/marks/a", json={}, headers={"If-Match": form})
        assert found.status_code in (200, 201)


def test_of_two_writers_one_is_told(server: Served) -> None:
    """The second waits behind the first, and its version is checked when its turn comes."""
    server.edit(FACTS[0])
    match = {"If-Match": f'"{head(server)}"', "Prefer": "respond-async"}
    jobs = []
    with held(server):
        for fact in FACTS[1:3]:
            found = server.edit(fact, **match)
            assert found.status_code == 202 and found.headers["Location"].startswith("/jobs/")
            jobs.append(found.headers["Location"])
    answers = [finished(server, job) for job in jobs]
    assert [answer["status"] for answer in answers] == [200, 412]
    assert [answer["state"] for answer in answers] == ["done", "refused"]
    assert server.client.get("/history").json()["head"] == 2


def test_a_request_sent_twice_is_done_once(server: Served) -> None:
    key = {"Idempotency-Key": "one"}
    first = server.edit(FACTS[0], **key)
    second = server.edit(FACTS[0], **key)
    assert first.json() == second.json() and first.status_code == second.status_code == 200
    assert server.edit(FACTS[1], **key).status_code == 422
    assert server.client.get("/history").json()["edits_ever"] == 1
    undo = {"Idempotency-Key": "two"}
    done = [server.client.post("/undo", json={}, headers=undo).json() for _ in range(2)]
    assert done[0]["turn"] == done[1]["turn"] == 0
    assert done[0]["commit"] == done[1]["commit"]
    for _ in range(2):  # the second finds the first, although the mark is gone
        server.client.put("/marks/a", json={}, headers={"Idempotency-Key": "three"})
        found = server.client.delete("/marks/a", headers={"Idempotency-Key": "four"})
        assert found.status_code == 204


def test_a_request_that_was_refused_may_be_sent_again_under_its_key(server: Served) -> None:
    key = {"Idempotency-Key": "k"}
    assert server.client.post("/undo", json={}, headers=key).status_code == 409
    server.edit(FACTS[0])
    assert server.client.post("/undo", json={}, headers=key).status_code == 200


def test_a_key_that_is_still_running_is_409(server: Served) -> None:
    key = {"Idempotency-Key": "k", "Prefer": "respond-async"}
    with held(server):
        job = server.edit(FACTS[0], **key).headers["Location"]
        again = server.edit(FACTS[0], **key)
        assert again.status_code == 409 and again.headers["Retry-After"]
        assert server.edit(FACTS[1], **key).status_code == 422
    assert finished(server, job)["status"] == 200
    assert server.edit(FACTS[0], **key).json()["turn"] == 1


def test_the_line_of_changes_is_bounded(tmp_path: Path) -> None:
    with served.serving(tmp_path, Limits(changes=2)) as server:
        at_once = {"Prefer": "respond-async"}
        with held(server):
            codes = [server.edit(fact, **at_once).status_code for fact in FACTS[:4]]
            last = server.edit(FACTS[5])
        assert codes == [202, 202, 429, 429]
        assert last.status_code == 429 and last.headers["Retry-After"]


def test_streams_go_on_between_changes_that_wait(server: Served) -> None:
    """However many changes wait, every stream gets its tokens between two of them."""
    heard: list[Any] = []
    server.service.bulletin.listen(heard.append, None)
    with held(server):
        for fact in FACTS[:6]:
            assert server.edit(fact, Prefer="respond-async").status_code == 202
        ids = server.service.prompts.raw("A river")
        ask = Ask([ids], [Wish(110, temperature=0)], None, heard.append)
        server.service.ask(ask)
    for job in range(2, 8):
        finished(server, f"/jobs/job-{job}")
    said = 0
    spread = []
    for event in heard:
        said += isinstance(event, Piece)
        if isinstance(event, dict) and event["type"] == "committed":
            spread.append(said)
    assert all(b - a >= 16 for a, b in pairwise(spread[:3])), spread


def test_keys_outlive_the_server(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k"}
    with served.serving(tmp_path) as server:
        first = server.edit(*FACTS[:2], **key).json()
        other = server.client.put("/marks/a", json={}, headers={"Idempotency-Key": "m"}).json()
    with Workspace.open(tmp_path / "ws", write=True, loaded=served.loaded()) as workspace:
        again = Served(workspace, Limits())
        again.service.start()
        again.service.wait_ready(60)
        assert again.edit(*FACTS[:2], **key).json() == first
        assert again.edit(FACTS[4], **key).status_code == 422
        marked = again.client.put("/marks/a", json={}, headers={"Idempotency-Key": "m"})
        assert marked.status_code == 200 and marked.json()["commit"] == other["commit"]
        assert workspace.store.journal.edits == 2
        again.service.stop()
        assert again.service.join(30)


def test_a_note_says_who_asked(server: Served) -> None:
    server.edit(FACTS[0], **{"Idempotency-Key": 'odd "key" {'})
    server.edit(FACTS[1])
    server.client.delete("/edits/1", params={"how": "subtract"})
    notes = [commit.note for commit in server.workspace.store.journal.commits[1:]]
    assert all('"by":"admin"' in note for note in notes)
    assert notes[2].startswith("edit #1; request {")
    assert server.edit(FACTS[0], **{"Idempotency-Key": 'odd "key" {'}).json()["turn"] == 1


def test_a_turn_that_makes_the_model_ill_is_409(tmp_path: Path) -> None:
    ill = HealthConfig(
        canary_tokens=0, reservoir_every=0, policy="rollback", small_turn=1,
        success=Thresholds(amber=1.1, red=1.05),
    )  # fmt: skip
    with served.serving(tmp_path, health=ill) as server:
        before = head(server)
        for _ in range(2):  # the retry is told the same
            found = server.edit(FACTS[0], **{"Idempotency-Key": "k"})
            assert found.status_code == 409, found.text
            body = found.json()
            assert body["rolled_back_to"] == 0 and body["turn"] == 1
            assert body["error"]["code"] == 409 and "taken back" in body["error"]["message"]
            assert body["receipts"][0]["edit"] == 1 and body["health"]["level"] == "red"
        assert head(server) == before
        assert server.client.get("/history").json()["turns"][0]["in_lineage"] is False


@pytest.mark.parametrize(
    ("edits", "row", "field"),
    [
        ([FACTS[0], {"prompt": "  ", "target": "x"}], 1, "prompt"),
        ([FACTS[0], FACTS[1], {"prompt": "x", "target": " "}], 2, "target"),
        ([{"prompt": 5, "target": "x"}], 0, "prompt"),
        ([{"prompt": "x"}], 0, "target"),
        ([FACTS[0] | {"rephrases": ["x", 5]}], 0, "rephrases"),
        ([FACTS[0] | {"path": "/etc/passwd"}], 0, "path"),
    ],
)
def test_a_wrong_fact_is_named_by_its_row(
    server: Served, edits: list[Any], row: int, field: str
) -> None:
    found = server.edit(*edits)
    assert found.status_code == 422
    error = found.json()["error"]
    assert error["param"].startswith(f"edits[{row}].{field}")
    assert (error["rows"][0]["row"], error["rows"][0]["field"]) == (row, field)
    assert server.client.get("/history").json()["edits_ever"] == 0


def test_too_many_and_too_long_facts(tmp_path: Path) -> None:
    with served.serving(tmp_path, Limits(max_edits=3)) as server:
        assert server.edit(*FACTS[:4]).status_code == 400
        assert server.edit().status_code == 422
        long = server.edit({"prompt": "x" * 500, "target": "y"})  # longer than the context
        assert long.status_code == 400 and "context" in long.json()["error"]["message"]
        assert server.client.get("/history").json()["edits_ever"] == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NumericalError("not a number."), 422),
        (WorkspaceError("not possible."), 409),
        (OSError(28, "No space left on device"), 503),
        (MemoryError(), 503),
        (RuntimeError("secret"), 500),
    ],
)
def test_a_turn_that_fails_leaves_everything_as_it_was(
    server: Served, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    server.edit(FACTS[0])
    before, said = head(server), server.complete("Bram was born in")["text"]

    def fails(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", fails)
        found = server.edit(FACTS[1], **{"Idempotency-Key": "k"})
    assert found.status_code == status, found.text
    assert "secret" not in found.text
    assert head(server) == before and server.complete("Bram was born in")["text"] == said
    assert server.edit(FACTS[1], **{"Idempotency-Key": "k"}).status_code == 200


def test_news_of_what_happens(server: Served) -> None:
    heard: list[Any] = []
    server.service.bulletin.listen(heard.append, None)
    server.edit(*FACTS[:2])
    server.client.post("/undo", json={"count": 2})
    server.client.post("/undo", json={"count": 2})
    # a turn tells a step for each of its micro-batches
    first = [next(same) for _, same in groupby(heard, key=lambda news: news["type"])]
    assert [news["type"] for news in first] == [
        "queued", "step", "committed", "health", "queued", "step", "undone", "queued", "step", "refused",
    ]  # fmt: skip
    assert first[1]["what"] == "An edit" and first[1]["edits"] == 2
    assert first[2]["turn"] == 1 and first[2]["weight_version"].startswith("t1-")
    assert [news["id"] for news in heard] == list(range(1, len(heard) + 1))
    missed: list[Any] = []
    server.service.bulletin.listen(missed.append, first[6]["id"])
    # how far something was is no news afterwards
    assert [news["type"] for news in missed] == ["queued", "refused"]
    server.service.bulletin.leave(missed.append)


def test_a_method_that_writes_no_weights_is_refused(tmp_path: Path) -> None:
    from ultraedit.errors import ConfigError

    refused = pytest.raises(ConfigError, match="only weights are served")
    with served.make(tmp_path, preset="retrieval", step=None) as workspace, refused:
        Service(workspace, NAME, Limits())


class held:  # noqa: N801 - read as a word in `with`
    """The model thread waits inside a change of its own for as long as the block runs."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._inside, self._go = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        from ultraedit.serving.writer import Change

        def wait(workspace: Workspace) -> None:
            self._inside.set()
            self._go.wait(30)
            raise WorkspaceError("only held.")

        self._server.service.change(Change("undo", "Held", wait, 0, "test", None, "", None))
        assert self._inside.wait(30)

    def __exit__(self, *exception: object) -> None:
        self._go.set()


def finished(server: Served, job: str) -> dict[str, Any]:
    """A job's answer, once it has one."""
    server.service.writer.job(job.removeprefix("/jobs/")).answer.exception(30)
    found = server.client.get(job).json()
    json.dumps(found)
    return found
