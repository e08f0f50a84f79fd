"""Processes that write chunks beside each other: composing text is Python, one core a process.

Each gets its chunks over a pipe and ends when the pipe does, so that none outlives a killed build.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ultraedit.errors import DataError
from ultraeditbench.chunk import Chunk, ChunkDone, write_chunk
from ultraeditbench.compose import Composer
from ultraeditbench.relations import Relation


def _serve(
    pipe: Connection, folder: Path, relations: Sequence[Relation], kind: str, seed: int
) -> None:
    composer = Composer(relations, kind)

    def tick(n: int) -> None:
        pipe.send(n)

    while True:
        try:
            chunk: Chunk = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: Any = write_chunk(chunk, folder, composer, None, seed, tick)
        except KeyboardInterrupt:
            return
        except Exception as error:  # raised again where the build runs
            answer = error
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return


class Workers:
    """`count` processes.  Used in a `with` block, which ends them."""

    def __init__(
        self, count: int, folder: Path, relations: Sequence[Relation], kind: str, seed: int
    ) -> None:
        # not forked: the database's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, folder, tuple(relations), kind, seed), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._idle = deque(self._pipes)
        self._at: dict[int, int] = {}
        """Pipe number -> chunk number."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.join()

    @property
    def free(self) -> bool:
        """Whether a process has nothing to do."""
        return bool(self._idle)

    def give(self, chunk: Chunk) -> None:
        """Hands a chunk to a free process."""
        pipe = self._idle.popleft()
        self._at[self._pipes.index(pipe)] = chunk.number
        pipe.send(chunk)

    def take(self, tick: Callable[[int], None]) -> Iterator[tuple[int, ChunkDone]]:
        """Waits for news; gives the chunks finished since, in no particular order.

        Raises what a process raised, and `DataError` when one died.
        """
        for pipe in wait(self._pipes):
            assert isinstance(pipe, Connection)
            number = self._pipes.index(pipe)
            try:
                answer = pipe.recv()
            except EOFError:
                raise DataError(
                    f"A process that wrote chunk {self._at.get(number)} of the data set died; start the "
                    "same command again to go on from there, with --threads 1 if memory was short."
                ) from None
            if isinstance(answer, int):
                tick(answer)
            elif isinstance(answer, Exception):
                raise answer
            else:
                self._idle.append(pipe)
                yield self._at.pop(number), answer
