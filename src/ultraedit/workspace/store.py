"""The folder of a workspace: opening, recovering, and the protocol by which a change is acknowledged.

Order of a commit: state and pairs files (temporary name, fsync, rename), the journal's block (append, fsync), the
head file (temporary name, fsync, rename, fsync of the folder).  The last rename is the acknowledgement; whatever
lies on disk beyond it is thrown away by the next writer.  Never imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ultraedit.errors import WorkspaceError
from ultraedit.io.atomic import new_place, remove, write_at
from ultraedit.io.digest import sha256_file
from ultraedit.io.target import refuse_unwritable
from ultraedit.workspace.config import FORMAT_VERSION, MARKER, WorkspaceConfig, read_config
from ultraedit.workspace.history import HEALTHY, History
from ultraedit.workspace.journal import (
    GENESIS,
    CommitRow,
    EditRow,
    FileRow,
    Journal,
    TurnRow,
    encode,
    extend,
    read,
)
from ultraedit.workspace.lock import WriterLock
from ultraedit.workspace.sealed import TEMPORARY, read_sealed, write_file, write_sealed

HEAD_FILE = "head.json"
JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "lock"
CALIBRATION_FILE = "calibration.safetensors"
STATES = "states"
PAIRS = "pairs"
TENSOR_FILE = re.compile(r"(\d{8})\.safetensors")
LEFTOVER = re.compile(r"\d{8}\.safetensors\.tmp|\.tmp\w+")
"""Temporary names: ours, and those under which safetensors itself writes."""

NewTurn = tuple[TurnRow, Sequence[EditRow]]


def now() -> str:
    """The time as it is written in a journal: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """An opened workspace folder."""

    def __init__(
        self, folder: Path, config: WorkspaceConfig, journal: Journal, lock: WriterLock | None
    ) -> None:
        self.folder = folder
        self.config = config
        self.journal = journal
        self._lock = lock
        self._remark = ""

    @property
    def history(self) -> History:
        return History(self.journal)

    @property
    def head(self) -> int:
        return self.history.head

    # -- opening -----------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: Path,
        configure: Callable[[FileRow], WorkspaceConfig],
        calibration: Callable[[Path], None],
        command: str = "ultraedit init",
    ) -> Store:
        """Make a workspace, whole or not at all, and open it for writing.

        `calibration` writes the calibration's file; `configure` gets that file's digest and makes the config.
        Raises WorkspaceError where the folder holds something or cannot be written.
        """
        require_new_folder(folder)
        try:
            with new_place(folder) as made:
                for name in (STATES, PAIRS):
                    (made / name).mkdir(parents=True)
                write_file(made / CALIBRATION_FILE, calibration)
                config = configure(file_row(made / CALIBRATION_FILE))
                write_sealed(made / MARKER, config.model_dump(mode="json"))
                journal = Journal(made / JOURNAL_FILE)
                note = f"config {sha256_file(made / MARKER)}"
                first = CommitRow(
                    commit=1, kind="init", head=0, time=now(), note=note, previous="", digest=""
                )
                block, commit = encode(journal, first, ())
                write_at(journal.path, block, 0)
                write_sealed(made / HEAD_FILE, _head(1, len(block), commit.digest))
        except OSError as error:
            raise WorkspaceError(
                f"'{folder}' cannot be written ({error.strerror or error}); nothing was left there."
            ) from error
        return cls.open(folder, write=True, command=command)

    @classmethod
    def open(cls, folder: Path, *, write: bool = False, command: str = "ultraedit") -> Store:
        """Open at the last acknowledged commit.  A writer takes the lock and clears what a crash left behind.

        Raises WorkspaceError where the folder is no workspace, is damaged, or is being written by another process.
        """
        config = read_config(folder)
        lock = _take_lock(folder, command) if write else None
        try:
            store = cls(folder, config, _read_journal(folder), lock)
            if write:
                store._recover()
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return store

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def reload(self) -> None:
        """Read again what is acknowledged on disk."""
        self.journal = _read_journal(self.folder)

    def require_writer(self) -> None:
        if self._lock is None:
            raise WorkspaceError(
                f"'{self.folder}' was opened for reading; open it with write=True."
            )

    def _recover(self) -> None:
        path = self.folder / JOURNAL_FILE
        try:
            if path.stat().st_size > self.journal.length:
                write_at(path, b"", self.journal.length)
            for name, kept in ((STATES, self.journal.states), (PAIRS, self.journal.pairs)):
                for file in (self.folder / name).iterdir():
                    found = TENSOR_FILE.fullmatch(file.name)
                    if LEFTOVER.fullmatch(file.name) or (found and int(found[1]) not in kept):
                        remove(file)
            for name in (HEAD_FILE, JOURNAL_FILE):
                remove(self.folder / (name + TEMPORARY))
        except OSError as error:
            raise WorkspaceError(
                f"'{self.folder}' cannot be recovered ({error.strerror or error}); it is as it was."
            ) from error

    # -- files of tensors --------------------------------------------------------------------------

    def state_path(self, turn: int) -> Path:
        return self.folder / STATES / f"{turn:08}.safetensors"

    def pairs_path(self, turn: int) -> Path:
        return self.folder / PAIRS / f"{turn:08}.safetensors"

    def put(self, path: Path, write: Callable[[Path], None]) -> FileRow:
        """Write a tensor file durably.  It does not count until a commit names it."""
        self.require_writer()
        write_file(path, write)
        return file_row(path)

    # -- changing ----------------------------------------------------------------------------------

    @contextmanager
    def noted(self, remark: str) -> Iterator[None]:
        """Every commit inside the block says this in its note, behind its own words."""
        outer, self._remark = self._remark, remark
        try:
            yield
        finally:
            self._remark = outer

    def announce(self, server: str) -> None:
        """Say in the lock at which address this writer takes changes, so that a second one is told."""
        self.require_writer()
        assert self._lock is not None
        self._lock.announce(server)

    def commit(
        self,
        kind: str,
        head: int,
        *,
        turns: Sequence[NewTurn] = (),
        marks: Mapping[str, int | None] | None = None,
        restored: Sequence[int] = (),
        note: str = "",
    ) -> CommitRow:
        """Acknowledge one change: new turns (their files in place), where the head goes, marks.

        Raises OSError where the disk refuses; `journal` then tells what is acknowledged.
        """
        self.require_writer()
        journal, marks = self.journal, dict(marks or {})
        grown = History(replace(journal, turns=journal.turns | {row.turn: row for row, _ in turns}))
        states = journal.states | {r.turn for r, _ in turns if r.state} | set(restored)
        healthy = grown.healthy(head, states) or None
        if healthy != journal.marks.get(HEALTHY):
            # it must lie on the way to the head: on a branch that was left it would bring undone edits back, and
            # hold a state beyond the undo window
            marks[HEALTHY] = healthy
        after = {name: turn for name, turn in (journal.marks | marks).items() if turn is not None}
        wanted = grown.wanted(head, after, self.config.undo_window)
        pairs = journal.pairs | {r.turn for r, _ in turns if r.pairs}
        block, commit = encode(
            journal,
            CommitRow.model_validate(
                {
                    "commit": len(journal.commits) + 1,
                    "kind": kind,
                    "head": head,
                    "time": now(),
                    "marks": marks,
                    "drop_states": sorted(states - wanted[0]),
                    "drop_pairs": sorted(pairs - wanted[1]),
                    "add_states": sorted(restored),
                    "note": "; ".join(part for part in (note, self._remark) if part),
                    "previous": "",
                    "digest": "",
                }
            ),
            turns,
        )
        length = journal.length + len(block)
        try:
            write_at(journal.path, block, journal.length)
            write_sealed(self.folder / HEAD_FILE, _head(commit.commit, length, commit.digest))
        except BaseException:
            self.reload()  # the rename may have happened before what failed
            raise
        extend(journal, block, journal.length)
        for turn in commit.drop_states:
            remove(self.state_path(turn))
        for turn in commit.drop_pairs:
            remove(self.pairs_path(turn))
        return commit


def require_new_folder(folder: Path) -> None:
    """Raise WorkspaceError where a new workspace would have to replace something, ConfigError where it cannot be
    written."""
    try:
        occupied = folder.is_dir() and any(folder.iterdir())
        occupied = occupied or (folder.exists() and not folder.is_dir())
    except OSError as error:
        raise WorkspaceError(
            f"'{folder}' cannot be used ({error.strerror or error}); name another folder."
        ) from error
    if occupied:
        raise WorkspaceError(
            f"'{folder}' already holds something; name a new folder for the workspace."
        )
    refuse_unwritable(folder)


def file_row(path: Path) -> FileRow:
    return FileRow(bytes=path.stat().st_size, sha256=sha256_file(path))


def _head(commit: int, length: int, digest: str) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "commit": commit,
        "journal_bytes": length,
        "journal_digest": digest,
    }


def _read_journal(folder: Path) -> Journal:
    head = read_sealed(folder / HEAD_FILE)
    try:
        length, digest = int(head["journal_bytes"]), str(head["journal_digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise WorkspaceError(
            f"'{folder / HEAD_FILE}' is damaged: it does not say how long the journal is."
        ) from error
    journal = read(folder / JOURNAL_FILE, max(length, 0))
    if journal.digest != digest or digest == GENESIS:
        raise WorkspaceError(
            f"'{folder / JOURNAL_FILE}' is damaged: its last digest is not the one in {HEAD_FILE}."
        )
    return journal


def _take_lock(folder: Path, command: str) -> WriterLock:
    try:
        return WriterLock(folder / LOCK_FILE, command)
    except OSError as error:
        raise WorkspaceError(
            f"'{folder}' cannot be written ({error.strerror}); open it for reading only."
        ) from error
