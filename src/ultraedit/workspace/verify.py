"""Finds a changed byte anywhere in a workspace or its base model, and names the file.

Digests find accidents, not forgers: whoever can write the folder can also write new digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ultraedit.errors import UltraEditError, WorkspaceError
from ultraedit.io.digest import sha256_file
from ultraedit.workspace.config import MARKER, WorkspaceConfig, is_workspace, read_config
from ultraedit.workspace.journal import FileRow, Journal, extend
from ultraedit.workspace.sealed import read_sealed, unseal
from ultraedit.workspace.store import (
    CALIBRATION_FILE,
    HEAD_FILE,
    JOURNAL_FILE,
    LOCK_FILE,
    PAIRS,
    STATES,
    Store,
)


@dataclass(frozen=True)
class Finding:
    """Something wrong (or, if `harmless`, only worth knowing) about one file."""

    file: str
    problem: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{'note' if self.harmless else 'DAMAGED'}: {self.file}: {self.problem}"


@dataclass(frozen=True)
class Verification:
    findings: tuple[Finding, ...]
    files: int
    """Files compared with their digests."""
    bytes: int
    edits: int
    turns: int

    @property
    def sound(self) -> bool:
        return all(finding.harmless for finding in self.findings)


def verify(folder: Path, base: str | None = None) -> Verification:
    """Compare every byte of a workspace, and the base model's files, with what was written.

    base: where the base model lies now, if it was moved.  Never loads the model.
    Raises WorkspaceError only where `folder` has no marker file at all.
    """
    check = _Check(folder)
    if not is_workspace(folder):
        read_config(folder)
    config = check.config()
    journal = check.journal(config)
    check.lock()
    if config is not None:
        check.file(folder / CALIBRATION_FILE, CALIBRATION_FILE, config.calibration)
        check.base(config, base)
    if journal is not None:
        store = Store(folder, config, journal, None)  # type: ignore[arg-type]
        for turn in sorted(journal.states):
            if not check.complete and not store.state_path(turn).exists():
                continue
            name = f"{STATES}/{store.state_path(turn).name}"
            check.state(store, turn, name)
        for turn in sorted(journal.pairs):
            if not check.complete and not store.pairs_path(turn).exists():
                continue
            check.file(
                store.pairs_path(turn),
                f"{PAIRS}/{store.pairs_path(turn).name}",
                journal.turns[turn].pairs,
            )
        check.strangers(store)
    return Verification(
        tuple(check.findings),
        check.files,
        check.bytes,
        journal.edits if journal else 0,
        len(journal.turns) if journal else 0,
    )


class _Check:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings: list[Finding] = []
        self.files = 0
        self.bytes = 0
        self.complete = True
        """Whether the journal is known to its end, and so which files must be there."""

    def say(self, file: str, problem: str, harmless: bool = False) -> None:
        self.findings.append(Finding(file, problem, harmless))

    def count(self, path: Path) -> None:
        self.files += 1
        self.bytes += path.stat().st_size

    def config(self) -> WorkspaceConfig | None:
        try:
            found = read_config(self.folder)
        except UltraEditError as error:
            self.say(MARKER, str(error))
            return None
        self.count(self.folder / MARKER)
        return found

    def journal(self, config: WorkspaceConfig | None) -> Journal | None:
        """The journal as far as it can be trusted; None where nothing of it can be."""
        length: int | None = None
        digest = None
        try:
            head = read_sealed(self.folder / HEAD_FILE)
            length, digest = int(head["journal_bytes"]), head["journal_digest"]
            self.count(self.folder / HEAD_FILE)
        except (UltraEditError, KeyError, TypeError, ValueError) as error:
            self.say(HEAD_FILE, str(error))
        path = self.folder / JOURNAL_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            self.say(JOURNAL_FILE, f"cannot be read ({error.strerror})")
            return None
        self.count(path)
        if length is not None and len(data) > length:
            extra = len(data) - length
            self.say(
                JOURNAL_FILE, f"{extra:,} bytes of a turn that was never finished follow", True
            )
        elif length is not None and len(data) < length:
            self.say(JOURNAL_FILE, f"{length - len(data):,} acknowledged bytes are missing")
        journal = Journal(path)
        try:
            extend(journal, data[:length], 0)
        except WorkspaceError as error:
            self.say(JOURNAL_FILE, str(error))
            self.complete = False
            return journal if journal.commits else None
        if digest is not None and journal.digest != digest:
            self.say(JOURNAL_FILE, f"its last digest is not the one in {HEAD_FILE}")
        if not journal.commits:
            self.say(JOURNAL_FILE, "it is empty")
            return None
        expected = f"config {sha256_file(self.folder / MARKER)}"
        if config is not None and journal.commits[0].note != expected:
            self.say(MARKER, "it is not the file the journal was begun with")
        return journal

    def lock(self) -> None:
        path = self.folder / LOCK_FILE
        try:
            if data := path.read_bytes():
                note = unseal(data, path)
                self.count(path)
                held = f"process {note.get('pid')} on {note.get('host')} writes, or was killed"
                self.say(LOCK_FILE, f"{held} (`{note.get('command')}`)", True)
        except FileNotFoundError:
            return
        except (OSError, UltraEditError) as error:
            self.say(LOCK_FILE, str(error))

    def file(self, path: Path, name: str, expected: FileRow | None) -> None:
        try:
            size, digest = path.stat().st_size, sha256_file(path)
        except OSError as error:
            self.say(name, f"cannot be read ({error.strerror})")
            return
        self.count(path)
        if expected is None or (size, digest) != (expected.bytes, expected.sha256):
            self.say(name, "its bytes are not those that were written")

    def state(self, store: Store, turn: int, name: str) -> None:
        row = store.journal.turns[turn]
        if row.state is not None:
            self.file(store.state_path(turn), name, row.state)
            return
        from ultraedit.workspace.tensors import load_state

        try:  # a state that was passed through, and written down only later
            state = load_state(store.state_path(turn))
        except (OSError, UltraEditError) as error:
            self.say(name, str(error))
            return
        self.count(store.state_path(turn))
        if state.digests() != (row.shifts, row.statistics):
            self.say(name, "its tensors are not those that were written")

    def base(self, config: WorkspaceConfig, base: str | None) -> None:
        if not config.base.files:
            name = config.base.name
            self.say(
                "base", f"'{name}' is no local folder; its edited weights are checked at use", True
            )
            return
        from ultraedit.model.smollm2 import ALIAS, FOLDER, cache_dir

        name = base or config.base_location(self.folder)
        source = Path(name)
        if name == ALIAS and not source.is_dir():
            source = cache_dir() / FOLDER  # looked at where it is, and never downloaded for this
        if not source.is_dir():
            self.say("base", f"there is no folder '{source}'; give its place with --base")
            return
        for file, expected in config.base.files.items():
            self.file(source / Path(file).name, f"base {name}/{file}", expected)

    def strangers(self, store: Store) -> None:
        expected = {store.state_path(t) for t in store.journal.states}
        expected |= {store.pairs_path(t) for t in store.journal.pairs}
        for folder in (STATES, PAIRS):
            for path in sorted((self.folder / folder).glob("*")):
                if path not in expected:
                    self.say(f"{folder}/{path.name}", "no commit knows this file", True)
