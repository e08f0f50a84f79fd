"""Endpoints that change the model or tell what was changed: edits, undo, rollback, marks, history, events, jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from ultraedit.data.record import Record
from ultraedit.errors import UltraEditError
from ultraedit.serving.keys import Caller
from ultraedit.serving.listening import KEEP_ALIVE, PAUSE, STREAM_HEADERS, Inbox, frame
from ultraedit.serving.notes import digest
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.service import Service
from ultraedit.serving.shapes import (
    EditsRequest,
    Fact,
    MarkRequest,
    RollbackRequest,
    UndoRequest,
)
from ultraedit.serving.view import View
from ultraedit.serving.writer import Change, Job
from ultraedit.workspace import changes, marks
from ultraedit.workspace.workspace import Workspace

PAGE = 100
"""Rows of a list that come without a limit."""
LARGEST_PAGE = 1000

Number = Annotated[int, Path(ge=1, le=10**9)]
MarkName = Annotated[str, Path(min_length=1, max_length=64)]


class Write:
    """What the headers of a change say of it."""

    def __init__(
        self,
        request: Request,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=200,
                description="The same key and body get the same answer, and are done once.",
            ),
        ] = None,
        if_match: Annotated[
            str | None,
            Header(max_length=200, description="The weight version on top of which this is meant."),
        ] = None,
        prefer: Annotated[
            str | None,
            Header(max_length=200, description="respond-async answers at once with 202 and a job."),
        ] = None,
    ) -> None:
        caller: Caller = request.scope["caller"]
        self.by = caller.name
        self.key = idempotency_key
        self.if_match = _version_in(if_match)
        self.at_once = "respond-async" in (prefer or "").lower()

    def change(
        self,
        kind: str,
        what: str,
        edits: int,
        asked: object,
        run: Callable[[Workspace], str | None],
    ) -> Change:
        """The change, ready for the line."""
        return Change(kind, what, run, edits, self.by, self.key, digest(kind, asked), self.if_match)


Writing = Annotated[Write, Depends()]


def _version_in(header: str | None) -> str | None:
    """`"t5-..."`, `W/"t5-..."`, `t5-...` and `*` are all understood."""
    if header is None:
        return None
    return header.strip().removeprefix("W/").strip('"')


def _list(rows: list[dict[str, Any]], key: str, more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": rows,
        "has_more": more,
        "first_id": rows[0][key] if rows else None,
        "last_id": rows[-1][key] if rows else None,
    }


def _records(facts: list[Fact], most: int) -> list[Record]:
    if len(facts) > most:
        raise Refusal(
            400,
            f"there are {len(facts)} facts and a turn takes {most} on this server; send them in several turns.",
            param="edits",
        )
    blank = [
        {"row": i, "field": name, "message": f"the {name} is blank; give a text."}
        for i, fact in enumerate(facts)
        for name in ("prompt", "target")
        if not getattr(fact, name).strip()
    ]
    if blank:
        first = blank[0]
        raise Refusal(
            422,
            f"edit {first['row']}: {first['message']}",
            param=f"edits[{first['row']}].{first['field']}",
            rows=blank,
        )
    return [
        Record(f.prompt, f.target, f.id, subject=f.subject, rephrases=tuple(f.rephrases))
        for f in facts
    ]


def routes(service: Service) -> APIRouter:
    """The edits API for a service."""
    router = APIRouter(tags=["edits"])

    def view() -> View:
        return service.writer.view

    async def made(write: Write, change: Change) -> Response:
        job = service.change(change)
        if write.at_once and not job.answer.done():
            where = f"/jobs/{job.id}"
            return JSONResponse(job.as_dict(), 202, headers={"Location": where})
        return await _answered(job)

    @router.post("/edits", responses={202: {}})
    async def edit(body: EditsRequest, write: Writing) -> Response:
        """Write facts as one turn, whole or not at all; answered once they are on disk."""
        records = await run_in_threadpool(_records, body.edits, service.limits.max_edits)
        rephrased = any(record.rephrases for record in records)

        def run(workspace: Workspace) -> None:
            first = workspace.store.journal.edits + 1
            named = [replace(r, id=r.id or f"edit-{first + i}") for i, r in enumerate(records)]
            workspace.edit_turn(named, with_rephrases=rephrased)

        asked = body.model_dump(mode="json")
        return await made(write, write.change("edit", "An edit", len(records), asked, run))

    @router.get("/edits")
    def edits(
        after: Annotated[int | None, Query(ge=0, le=10**9)] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        order: Literal["asc", "desc"] = "desc",
    ) -> dict[str, Any]:
        """Every edit ever, those undone too; `after` is the last number of the page before."""
        now = view()
        rows, more = now.edits(after, limit, order == "desc")
        return _list([now.edit(row) for row in rows], "edit", more)

    @router.get("/edits/{edit}")
    def one_edit(edit: Number) -> dict[str, Any]:
        """One edit, and what has become of it."""
        now = view()
        return now.edit(now.find_edit(edit))

    @router.delete("/edits/{edit}", responses={202: {}})
    async def take_out(
        edit: Number, write: Writing, how: Literal["replay", "subtract"] = "replay"
    ) -> Response:
        """Take one edit out: exactly, by writing all later ones again, or at once and approximately."""
        await run_in_threadpool(view().find_edit, edit)

        def run(workspace: Workspace) -> str:
            row = workspace.history.find_current(f"#{edit}")
            take = changes.replay if how == "replay" else changes.subtract
            return take(workspace, row).text

        change = write.change(how, f"Taking out edit #{edit}", 1, {"edit": edit}, run)
        return await made(write, change)

    @router.post("/undo", responses={202: {}})
    async def undo(body: UndoRequest, write: Writing) -> Response:
        """Undo the last edits, exact to the bit."""

        def run(workspace: Workspace) -> str:
            return changes.undo(workspace, body.count).text

        asked = {"count": body.count}
        return await made(write, write.change("undo", "An undo", body.count, asked, run))

    @router.post("/rollback", responses={202: {}})
    async def rollback(body: RollbackRequest, write: Writing) -> Response:
        """Stand at a mark, a turn or the base again."""
        to = str(body.to)
        _resolve(view(), to)

        def run(workspace: Workspace) -> str:
            return changes.rollback(workspace, to).text

        return await made(write, write.change("rollback", "A rollback", 0, {"to": to}, run))

    @router.get("/marks")
    def all_marks() -> dict[str, Any]:
        """Names for states, in the order they were set."""
        now = view()
        rows = [
            {"object": "mark", "name": name, "turn": turn, "weight_version": now.version_of(turn)}
            for name, turn in now.history.marks.items()
        ]
        return _list(rows, "name", False)

    @router.put("/marks/{name}", responses={201: {}, 202: {}})
    async def set_mark(name: MarkName, body: MarkRequest, write: Writing) -> Response:
        """Name the present state, or another that is still kept; 201 where the name is new."""
        new = name not in view().history.marks
        if body.at is not None:
            _resolve(view(), str(body.at))

        def run(workspace: Workspace) -> str:
            turn = marks.set_mark(workspace.store, name, body.at)
            return f"the mark {name} stands at turn {turn}."

        asked = {"name": name, "at": body.at}
        answer = await made(write, write.change("mark", "A mark", 0, asked, run))
        if new and answer.status_code == 200:
            answer.status_code = 201
        return answer

    @router.delete("/marks/{name}", status_code=204, response_class=Response, responses={202: {}})
    async def drop_mark(name: MarkName, write: Writing) -> Response:
        """Forget a name; no edit is touched."""
        if name not in view().history.marks and write.key is None:
            raise Refusal(404, f'there is no mark "{name}"; GET /marks lists them.', param="name")

        def run(workspace: Workspace) -> None:
            marks.delete_mark(workspace.store, name)

        answer = await made(write, write.change("mark", "A mark", 0, {"drop": name}, run))
        return answer if answer.status_code == 202 else Response(status_code=204)

    @router.get("/history")
    def history(limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000) -> dict[str, Any]:
        """The turns, oldest first (the last `limit` of them), and where the model stands among them."""
        now = view()
        lineage = {row.turn for row in now.history.lineage()}
        numbers = sorted(now.store.journal.turns)
        health = now.store.config.health.model_dump(mode="json")
        limits = {k: v for k, v in health.items() if isinstance(v, dict)}
        return {
            "object": "history",
            "head": now.head,
            "weight_version": now.version,
            "marks": dict(now.history.marks),
            "edits_ever": now.store.journal.edits,
            "turns": [now.turn(now.store.journal.turns[n], lineage) for n in numbers[-limit:]],
            "has_more": len(numbers) > limit,
            "thresholds": limits,
            "policy": health["policy"],
        }

    @router.get(
        "/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def news(
        last_event_id: Annotated[int | None, Header(ge=0, le=2**53)] = None,
    ) -> StreamingResponse:
        """What happens, as it happens: queued, step, committed, health, undone, refused."""
        inbox = Inbox()
        service.bulletin.listen(inbox.put, last_event_id)
        now = service.writer
        hello = {"type": "hello", "waiting": now.waiting, "weight_version": now.view.version}

        async def told() -> AsyncIterator[bytes]:
            try:
                yield frame(hello, "hello")
                while True:
                    try:
                        item = await inbox.get(PAUSE)
                    except TimeoutError:
                        yield KEEP_ALIVE
                        continue
                    if item is None:
                        return
                    yield frame(item, item["type"], item["id"])
            finally:
                service.bulletin.leave(inbox.put)

        return StreamingResponse(told(), media_type="text/event-stream", headers=STREAM_HEADERS)

    @router.get("/jobs/{job}")
    def job(job: Annotated[str, Path(max_length=80)]) -> dict[str, Any]:
        """A change that was sent with `Prefer: respond-async`, and its answer once it has one."""
        return service.writer.job(job).as_dict()

    return router


async def _answered(job: Job) -> Response:
    """Wait for a change.  A client who hangs up does not take it back."""
    answer = await asyncio.shield(asyncio.wrap_future(job.answer))
    return JSONResponse(answer.body, answer.status, headers=answer.headers)


def _resolve(view: View, name: str) -> int:
    try:
        return view.history.resolve(name)
    except UltraEditError as error:
        raise Refusal(404, str(error), param="to") from error
