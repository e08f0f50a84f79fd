"""The step loop: who is answered next, from which version, together with whom.

All of it but `submit` runs on the model thread.  A step runs one chunk of new prompts and one token of every row,
so that no stream waits for a long prompt.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.model.generate import stop_token_ids
from ultraedit.serving.asks import Ask, Failed, Started
from ultraedit.serving.batch import Batch, Row, Runner
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.versions import Version, Versions

PROMPT_TOKENS = 512
"""Prompt tokens that are run in one step while nobody else is being answered."""
PROMPT_TOKENS_BESIDE = 128
"""The same while others are: about as long as one micro-batch of a turn."""


@dataclass
class _Begun:
    """A request that has its version."""

    ask: Ask
    version: Version
    left: int
    """Rows that are not over."""


class Engine:
    """Answers requests together, each from its own version."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        versions: Versions,
        *,
        rows: int,
        waiting: int,
    ) -> None:
        """
        Args:
            model: The live model; `versions` shows it in the weights of one.
            tokenizer: Used on the model thread alone.
            versions: Where versions are pinned.
            rows: Choices generated at once.
            waiting: Requests that may wait for a row; more are refused.
        """
        self.versions = versions
        self._runner = Runner(model, tokenizer, stop_token_ids(model, tokenizer))
        self._most_rows = rows
        self._most_waiting = waiting
        self._lock = threading.Lock()
        self._arrived: deque[Ask] = deque()
        self._begun: dict[Ask, _Begun] = {}
        self._queue: deque[Row] = deque()
        """Rows of requests that have begun, and wait for a place."""
        self._prompting: Batch | None = None
        self._running: list[Batch] = []
        self._closed = False

    # -- from any thread ---------------------------------------------------------------------------

    def submit(self, ask: Ask) -> None:
        """Put a request into the queue.

        Raises Refusal: 429 where the queue is full, 503 where the server is stopping.
        """
        with self._lock:
            if self._closed:
                raise Refusal(503, "the server is stopping; ask again in a moment.", retry_after=5)
            if len(self._arrived) >= self._most_waiting:
                raise Refusal.of_full_queue(f"{len(self._arrived)} requests", "ask again", 2)
            self._arrived.append(ask)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._arrived)

    @property
    def running(self) -> dict[str, int]:
        """Version -> requests that are being answered from it."""
        found: dict[str, int] = {}
        for begun in list(self._begun.values()):
            found[begun.version.name] = found.get(begun.version.name, 0) + 1
        return found

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._arrived or self._begun)

    # -- on the model thread -----------------------------------------------------------------------

    def step(self) -> None:
        """Run a chunk of new prompts and a token of every row.  An error in the model fails the rows it met."""
        self._sweep()
        if self._prompting is None:
            self._prompting = self._next_prompts()
        if self._prompting is not None:
            self._run_prompts(self._prompting)
        for batch in list(self._running):
            with _fails(self, batch), self.versions.reading(batch.version):
                batch.run_token()
        self._sweep()

    def close(self, why: str = "the server is stopping.") -> None:
        """End every request with an error; nothing is taken in any more."""
        with self._lock:
            self._closed = True
            arrived, self._arrived = list(self._arrived), deque()
        for ask in [*arrived, *self._begun]:
            ask.deliver(Failed(503, why, 5))
        for begun in list(self._begun.values()):
            self.versions.unpin(begun.version)
        self._begun.clear()
        self._queue.clear()
        self._prompting, self._running = None, []

    def _next_prompts(self) -> Batch | None:
        """The next rows to begin with: of one version, in the order they came, as many as have room."""
        taken = sum(len(batch.rows) for batch in self._running)
        free = self._most_rows - taken
        while free > len(self._queue) and (ask := self._next_ask()) is not None:
            self._begin(ask)
        if free <= 0 or not self._queue:
            return None
        rows: list[Row] = []
        version = self._begun[self._queue[0].ask].version
        width = 0
        while self._queue and len(rows) < free:
            row = self._queue[0]
            if self._begun[row.ask].version is not version:
                break
            width = max(width, len(row.prompt))
            if rows and (width * (len(rows) + 1) > PROMPT_TOKENS or not self._runner.joins):
                break
            rows.append(self._queue.popleft())
        return Batch(self._runner, version, rows)

    def _next_ask(self) -> Ask | None:
        with self._lock:
            return self._arrived.popleft() if self._arrived else None

    def _begin(self, ask: Ask) -> None:
        if ask.cancelled.is_set():
            return
        try:
            version = self.versions.pin(ask.turn)
        except Refusal as refusal:
            ask.deliver(Failed(refusal.status, str(refusal), refusal.retry_after))
            return
        self._begun[ask] = _Begun(ask, version, len(ask.prompts))
        ask.deliver(Started(version.turn, version.name))
        self._queue.extend(Row(ask, choice, self._runner) for choice in range(len(ask.prompts)))

    def _run_prompts(self, batch: Batch) -> None:
        budget = PROMPT_TOKENS_BESIDE if self._running else PROMPT_TOKENS
        with _fails(self, batch), self.versions.reading(batch.version):
            batch.run_prompt(budget)
        if batch.prompting and batch.rows:
            return
        self._prompting = None
        self._release(batch.drop_finished())
        if not batch.rows:
            return
        if self._runner.joins:
            for other in self._running:
                if other.version is batch.version:
                    other.join(batch)
                    return
        self._running.append(batch)

    def _sweep(self) -> None:
        """Free the rows that are over or cancelled."""
        for batch in [*self._running, *([self._prompting] if self._prompting else [])]:
            self._release(batch.drop_finished())
        self._running = [batch for batch in self._running if batch.rows]
        if self._prompting is not None and not self._prompting.rows:
            self._prompting = None
        if any(row.ask.cancelled.is_set() for row in self._queue):
            dropped = [row for row in self._queue if row.ask.cancelled.is_set()]
            self._queue = deque(row for row in self._queue if not row.ask.cancelled.is_set())
            self._release(dropped)
        if any(ask.cancelled.is_set() for ask in list(self._arrived)):
            with self._lock:
                self._arrived = deque(a for a in self._arrived if not a.cancelled.is_set())

    def _release(self, rows: list[Row]) -> None:
        for row in rows:
            begun = self._begun.get(row.ask)
            if begun is None:
                continue
            begun.left -= 1
            if begun.left == 0:
                del self._begun[row.ask]
                self.versions.unpin(begun.version)

    def fail(self, batch: Batch, error: Exception) -> None:
        """End every request that has rows in a batch which could not be run."""
        for ask in {row.ask for row in batch.rows}:
            ask.deliver(Failed(500, f"the model could not be run ({type(error).__name__})."))
            ask.cancel()


class _fails:  # noqa: N801 - read as a word in `with`
    """What goes wrong in one batch ends its own requests, and not the server."""

    def __init__(self, engine: Engine, batch: Batch) -> None:
        self._engine = engine
        self._batch = batch

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        import logging

        logging.getLogger(__name__).error("a batch failed", exc_info=error)
        self._engine.fail(self._batch, error)
        return True
