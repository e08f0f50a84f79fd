"""The one writer: changes wait in a bounded line, run on the model thread, and are answered once they are on disk."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ultraedit.errors import (
    ConfigError,
    DataError,
    NumericalError,
    UltraEditError,
    WorkspaceError,
)
from ultraedit.serving.answers import Answer, answer_to
from ultraedit.serving.bulletin import Bulletin
from ultraedit.serving.notes import Remark, remark_in
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.versions import ModelLost, Versions
from ultraedit.serving.view import View
from ultraedit.workspace.workspace import Workspace

JOBS_KEPT = 256
"""Finished changes that `/jobs` still tells of."""

PROGRESS = 0.5
"""Seconds between two news of how far a change is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """What is to be done, and by whom."""

    kind: str
    """"edit", "undo", "rollback", "replay", "subtract" or "mark"."""
    what: str
    """In words, for whoever watches."""
    run: Callable[[Workspace], str | None]
    """Makes exactly one commit; returns what there is to say of it."""
    edits: int
    """Facts in it, or edits taken out."""
    by: str
    key: str | None
    digest: str
    if_match: str | None


@dataclass(eq=False)
class Job:
    """A change in the line, running or done."""

    id: str
    change: Change
    state: str = "queued"
    answer: Future[Answer] = field(default_factory=Future)
    created: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        """As `/jobs/{id}` tells of it."""
        found: dict[str, Any] = {
            "object": "job",
            "id": self.id,
            "kind": self.change.kind,
            "state": self.state,
            "created": int(self.created),
            "edits": self.change.edits,
            "status": None,
            "answer": None,
        }
        if self.answer.done():
            error = self.answer.exception()
            if isinstance(error, Refusal):
                found |= {"status": error.status, "answer": error.body()}
            elif error is None:
                done = self.answer.result()
                found |= {"status": done.status, "answer": done.body}
        return found


class Writer:
    """Takes changes from any thread and makes them on the model thread, in the order they came."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        bulletin: Bulletin,
        *,
        most: int,
        wake: Callable[[], None],
    ) -> None:
        """
        Args:
            workspace: Opened for writing; its model may not be loaded yet.
            name: What the model is called.
            bulletin: Where news goes.
            most: Changes that may wait; more are refused.
            wake: Tells the model thread that there is something to do.
        """
        self.view = View(workspace.store, name)
        self._workspace = workspace
        self._bulletin = bulletin
        self._most = most
        self._wake = wake
        self._lock = threading.Lock()
        self._line: deque[Job] = deque()
        self._running: Job | None = None
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._closed = False
        self._batches, self._told = 0, 0.0
        self._by_key: dict[str, Job] = {}
        """Key -> its request, while that is in the line or runs."""
        self._committed = {
            remark.key: commit.commit
            for commit in workspace.store.journal.commits
            if (remark := remark_in(commit)) is not None and remark.key is not None
        }
        """Key -> the commit that its request made, for the journal's life."""

    # -- from any thread ---------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Changes in the line, the running one not counted."""
        return len(self._line)

    @property
    def running(self) -> Job | None:
        """The change that is being made now."""
        return self._running

    def submit(self, change: Change) -> Job:
        """Put a change into the line, or find the one that its key stands for.

        Raises Refusal: 409 while a request with this key is running, 422 where its key stood for another request,
        412 where the head has moved already, 429 where the line is full, 503 where the server is stopping.
        """
        with self._lock:
            known = self._of_key(change)
            if known is not None:
                return known
            if self._closed:
                raise Refusal(503, "the server is stopping; nothing was changed.", retry_after=5)
            if len(self._line) >= self._most:
                raise Refusal.of_full_queue(f"{len(self._line)} changes", "send it again", 5)
            if not self._line and self._running is None:
                self._require_match(change)
            job = self._new_job(change)
            self._line.append(job)
            if change.key is not None:
                self._by_key[change.key] = job
            waiting = len(self._line)
        self._bulletin.publish("queued", job=job.id, kind=change.kind, waiting=waiting)
        self._wake()
        return job

    def job(self, name: str) -> Job:
        """Raises Refusal with 404 for one that is not known (any more)."""
        with self._lock:
            if name not in self._jobs:
                raise Refusal(
                    404,
                    f'there is no job "{name[:80]}" (any more); /history tells what was written.',
                )
            return self._jobs[name]

    def _of_key(self, change: Change) -> Job | None:
        if change.key is None:
            return None
        if change.key in self._by_key:
            if self._by_key[change.key].change.digest != change.digest:
                raise _other_request(change.key)
            raise Refusal(
                409,
                "the request with this Idempotency-Key is still waiting or running; ask for its answer in a moment.",
                retry_after=2,
            )
        if change.key not in self._committed:
            return None
        commit = self.view.store.journal.commits[self._committed[change.key] - 1]
        remark = remark_in(commit)
        assert remark is not None
        if remark.body != change.digest:
            raise _other_request(change.key)
        job = self._new_job(change)
        job.state = "done"
        try:
            job.answer.set_result(answer_to(self.view, commit, remark))
        except Refusal as refusal:
            job.answer.set_exception(refusal)
        return job

    def _new_job(self, change: Change) -> Job:
        job = Job(f"job-{next(self._numbers)}", change)
        self._jobs[job.id] = job
        while len(self._jobs) > JOBS_KEPT + self._most:
            oldest = next(iter(self._jobs.values()))
            if not oldest.answer.done():
                break
            del self._jobs[oldest.id]
        return job

    def _require_match(self, change: Change) -> None:
        current = self.view.version
        if change.if_match not in (None, "*", current):
            raise Refusal(
                412,
                f'the weights are at version {current} and not at "{str(change.if_match)[:80]}": somebody else changed '
                "them; look at /history and send it again with the version you mean.",
                more={"weight_version": current},
            )

    # -- on the model thread -----------------------------------------------------------------------

    def run_next(self, versions: Versions) -> bool:
        """Make the next change, if there is one.  Whatever fails, model and folder stay as they were."""
        with self._lock:
            if not self._line or self._closed:
                return False
            job = self._running = self._line.popleft()
        job.state = "running"
        change = job.change
        self._batches, self._told = 0, time.monotonic()
        self._tell("step", job, what=change.what, step=0, steps=None)
        try:
            answer = self._make(job, versions)
        except BaseException as error:
            refusal = _refusal_of(error)
            self._done(job, "refused")
            self._tell("refused", job, status=refusal.status, message=str(refusal))
            job.answer.set_exception(refusal)
            if isinstance(error, ModelLost) or not isinstance(error, Exception):
                raise
        else:
            self._done(job, "done")
            self._announce(job, answer)
            job.answer.set_result(answer)
        return True

    def _make(self, job: Job, versions: Versions) -> Answer:
        change, workspace = job.change, self._workspace
        self._require_match(change)
        turn = workspace.store.journal.next_turn if change.kind == "edit" else None
        remark = Remark(change.by, change.key, change.digest, turn)
        commits = len(workspace.store.journal.commits)
        text = None
        try:
            with workspace.store.noted(remark.text()):
                text = change.run(workspace)
        finally:
            # a commit may stand although what came after it failed: readers see what is on disk in any case
            self.view = View(workspace.store, self.view.name)
            if len(workspace.store.journal.commits) > commits and change.key is not None:
                self._committed[change.key] = commits + 1
            versions.moved()
        return answer_to(self.view, self.view.store.journal.commits[commits], remark, text)

    def progress(self) -> None:
        """The running change has got a micro-batch further."""
        job, now = self._running, time.monotonic()
        if job is None:
            return
        self._batches += 1
        if now - self._told >= PROGRESS:
            self._told = now
            self._tell("step", job, what=job.change.what, step=self._batches, steps=None)

    def _done(self, job: Job, state: str) -> None:
        with self._lock:
            self._running = None
            if job.change.key is not None:
                self._by_key.pop(job.change.key, None)
            job.state = state

    def _announce(self, job: Job, answer: Answer) -> None:
        kind = "committed" if job.change.kind in ("edit", "mark") else "undone"
        body = answer.body
        self._tell(kind, job, turn=body["head"], weight_version=body["weight_version"])
        if body.get("health"):
            self._bulletin.publish("health", turn=body["turn"], **body["health"])

    def _tell(self, news: str, job: Job, /, **more: Any) -> None:
        self._bulletin.publish(
            news,
            job=job.id,
            kind=job.change.kind,
            edits=job.change.edits,
            waiting=self.waiting,
            **more,
        )

    def close(self) -> None:
        """Refuse what waits; the running change goes on to its end."""
        with self._lock:
            self._closed = True
            line, self._line = list(self._line), deque()
        for job in line:
            self._done_waiting(job)

    def _done_waiting(self, job: Job) -> None:
        with self._lock:
            if job.change.key is not None:
                self._by_key.pop(job.change.key, None)
            job.state = "refused"
        job.answer.set_exception(
            Refusal(503, "the server is stopping; nothing was changed.", retry_after=5)
        )


def _other_request(key: str) -> Refusal:
    return Refusal(
        422,
        f'the Idempotency-Key "{key[:80]}" stands for another request; a new request needs a new key.',
        param="Idempotency-Key",
    )


def _refusal_of(error: BaseException) -> Refusal:
    """The answer to an error of the library: what the request did wrong, or what stands in its way."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NumericalError):
        return Refusal(422, str(error))
    if isinstance(error, DataError | ConfigError):
        return Refusal(400, str(error))
    if isinstance(error, WorkspaceError):
        if isinstance(error.__cause__, OSError):  # the disk
            return Refusal(503, str(error), retry_after=30)
        return Refusal(409, str(error))
    if isinstance(error, UltraEditError):
        return Refusal(409, str(error))
    if isinstance(error, MemoryError):
        return Refusal(503, "there is not enough memory for this turn; send fewer facts.")
    _log.error("a change failed", exc_info=error)
    return Refusal(500, f"the change failed ({type(error).__name__}); nothing was changed.")
