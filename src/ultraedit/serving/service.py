"""The server without its HTTP: one model thread that answers requests and, between their tokens, makes changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from ultraedit.errors import ConfigError
from ultraedit.model.runner.listener import Listener, Result
from ultraedit.model.steady import steady
from ultraedit.serving.asks import Ask
from ultraedit.serving.bulletin import Bulletin
from ultraedit.serving.engine import Engine
from ultraedit.serving.limits import Limits
from ultraedit.serving.prompts import Prompts
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.versions import Versions
from ultraedit.serving.writer import Change, Job, Writer
from ultraedit.workspace.workspace import Workspace

STEPS_BETWEEN = 16
"""Tokens that every stream gets between two changes, however many of those wait."""

POLL = 0.002
"""Seconds between two looks whether a file is safe on disk, while nobody is answered."""

_log = logging.getLogger(__name__)


class Service:
    """A workspace that answers and is edited."""

    def __init__(self, workspace: Workspace, name: str, limits: Limits) -> None:
        """
        Args:
            workspace: Opened for writing; its model is loaded on the model thread.
            name: What the model is called in requests.
            limits: How much is taken on.

        Raises:
            ConfigError: Where the workspace's method keeps its edits beside the model.
        """
        self.limits = limits
        self.name = name
        self.bulletin = Bulletin()
        self.error: Exception | None = None
        """What ended the model thread."""
        self._workspace = workspace
        self._work = threading.Condition()
        self._called = False
        self._stopping = False
        self._ready = threading.Event()
        self._ended = threading.Event()
        self.writer = Writer(workspace, name, self.bulletin, most=limits.changes, wake=self._wake)
        self._engine: Engine | None = None
        self._prompts: Prompts | None = None
        self._versions: Versions | None = None
        self._on_end: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._live, name="model", daemon=True)
        from ultraedit.workspace.config import method_in

        how = method_in(workspace.store.config, workspace.store.folder)
        if not how.writes_weights:
            raise ConfigError(
                f'"{how.name}" keeps its edits beside the model, and only weights are served; make a workspace with a '
                "preset that writes weights."
            )

    # -- from any thread ---------------------------------------------------------------------------

    def start(self, ended: Callable[[], None] | None = None) -> None:
        """Load the model and begin to answer; `ended` is called when the model thread is over."""
        self._on_end = ended
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._ready.is_set() and not self._ended.is_set() and not self._stopping

    @property
    def alive(self) -> bool:
        """Whether the model thread runs."""
        return not self._ended.is_set()

    def wait_ready(self, seconds: float) -> None:
        """Return when the model is loaded or could not be."""
        until = time.monotonic() + seconds
        while not self._ready.is_set() and not self._ended.is_set() and time.monotonic() < until:
            self._ready.wait(0.05)

    @property
    def engine(self) -> Engine:
        """Raises Refusal with 503 while there is none."""
        self._require_ready()
        assert self._engine is not None
        return self._engine

    @property
    def prompts(self) -> Prompts:
        """Raises Refusal with 503 while there is none."""
        self._require_ready()
        assert self._prompts is not None
        return self._prompts

    @property
    def live_versions(self) -> int:
        """Versions in memory, the base's with them."""
        return 0 if self._versions is None else len(self._versions.live)

    def _require_ready(self) -> None:
        if self._stopping or self._ended.is_set():
            raise Refusal(503, "the server is stopping; ask again in a moment.", retry_after=5)
        if not self._ready.is_set():
            raise Refusal(503, "the model is being loaded; ask again in a moment.", retry_after=2)

    def ask(self, ask: Ask) -> None:
        """Hand a request to the engine.  Raises Refusal as `Engine.submit`."""
        self.engine.submit(ask)
        self._wake()

    def change(self, change: Change) -> Job:
        """Hand a change to the writer.  Raises Refusal as `Writer.submit`."""
        self._require_ready()
        return self.writer.submit(change)

    def stop(self) -> None:
        """End all streams, refuse what waits, let a running change come to its end.  Returns at once."""
        self._stopping = True
        self.writer.close()
        self._wake()

    def join(self, seconds: float) -> bool:
        """Wait for the model thread; False where a running change takes longer."""
        if self._thread.ident is None:
            return True
        return self._ended.wait(seconds)

    def _wake(self) -> None:
        with self._work:
            self._called = True
            self._work.notify()

    # -- the model thread --------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._load()
            assert self._engine is not None and self._versions is not None
            self._ready.set()
            with steady(self._workspace.editor.model):
                self._answer(self._engine, self._versions)
        except Exception as error:
            self.error = error
            _log.error("the model thread ended", exc_info=error)
        finally:
            self._ended.set()
            if self._engine is not None:
                self._engine.close()
            self.writer.close()
            self.bulletin.close()
            if self._on_end is not None:
                self._on_end()

    def _load(self) -> None:
        editor = self._workspace.editor
        self._workspace.watch()  # now, and not while the first turn makes streams wait
        editor.listener = _Pauses(self._pause)
        self._versions = Versions(self._workspace, self.limits.versions)
        self._engine = Engine(
            editor.model,
            editor.tokenizer,
            self._versions,
            rows=self.limits.rows,
            waiting=self.limits.waiting,
        )
        vocabulary = int(editor.model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
        self._prompts = Prompts(editor.tokenizer, editor.form, editor.context, vocabulary)

    def _pause(self) -> None:
        """Called between the micro-batches of a turn: the others are answered meanwhile."""
        assert self._engine is not None
        if self._stopping:
            self._engine.close()
        elif self._engine.busy:
            self._engine.step()
        self.writer.progress()

    def _answer(self, engine: Engine, versions: Versions) -> None:
        steps = STEPS_BETWEEN
        while not self._stopping:
            with self._work:
                if not self._called and not engine.busy and not self.writer.waiting:
                    self._work.wait()
                self._called = False
            if self._stopping:
                break
            if engine.busy:
                engine.step()
                steps += 1
            if (steps >= STEPS_BETWEEN or not engine.busy) and self.writer.run_next(versions):
                steps = 0
        engine.close()


class _Pauses(Listener):
    """Hears when a turn can wait."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        yield
        self._then()

    def pause(self) -> None:
        self._then()

    def meanwhile(self, work: Callable[[], Result]) -> Result:
        # a disk may take seconds to say that a file is safe
        with ThreadPoolExecutor(1, "disk") as disk:
            done = disk.submit(work)
            while wait([done], POLL).not_done:
                self._then()
        return done.result()
