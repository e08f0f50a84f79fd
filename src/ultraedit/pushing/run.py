"""A workspace's edits into a running server: looked at, exported, loaded, asked, and taken back where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, ServerError
from ultraedit.export.exporting import export
from ultraedit.export.factors import RANKS, factorise, useful_ranks
from ultraedit.export.lora import KEEP, AdapterReport, AdapterSettings
from ultraedit.pushing import folders
from ultraedit.pushing.endpoint import Endpoint
from ultraedit.pushing.find import How, find_way
from ultraedit.pushing.ledger import Ledger, Row
from ultraedit.pushing.questions import Agreement, Answers, Question, prompts
from ultraedit.pushing.vllm import VllmWeights
from ultraedit.pushing.way import RankTooHigh
from ultraedit.workspace.store import now
from ultraedit.workspace.version import version_name
from ultraedit.workspace.workspace import Workspace

Tell = Callable[[str], None]
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Wanted:
    """What is to be pushed, where to, and how.

    Args:
        url: The server's address.
        how: "lora" puts the edits beside the server's weights, "weights" gives it new ones.
        at: A mark or turn of the workspace; None is its head.
        alias: A fixed name that is moved to the new version; None leaves it at the version's own.
        folder: LOCAL or LOCAL=SERVER; None is a folder beside the workspace.
        key: The server's key.
        admin_key: Its key for changes, where that is another.
        keep: Versions that stay on disk.
        check: Questions of each kind.

    Raises:
        ConfigError: A value is out of range.
    """

    url: str
    how: How = "lora"
    at: str | None = None
    alias: str | None = None
    folder: str | None = None
    key: str | None = field(default=None, repr=False)
    admin_key: str | None = field(default=None, repr=False)
    keep: int = 3
    check: int = 8

    def __post_init__(self) -> None:
        for name, value in (("keep", self.keep), ("check", self.check)):
            if value < 1:
                raise ConfigError(f"--{name} is {value}; it must be 1 or more.")
        if self.alias is not None and (
            not _ALIAS.fullmatch(self.alias) or folders.VERSION.fullmatch(self.alias)
        ):
            raise ConfigError(
                f'--as "{self.alias}" cannot be a model\'s name; use letters, digits, ".", "_" and "-", and no '
                "version's own name."
            )


@dataclass(frozen=True)
class Outlook:
    """What a push would meet."""

    server: str
    serves: str
    """What the server calls its own model."""
    turn: int
    version: str
    folder: str
    lacks: tuple[str, ...]
    """What the server must be started with and was not."""
    most_rank: int | None
    """The highest rank that it takes; None where it does not say."""
    energy: Mapping[int, float]
    """Rank of an adapter -> share of the edits' energy that the least kept module has at it; empty for weights."""
    base: Agreement | None
    """Whether its own model answers as the workspace's unedited one; None where it is not asked."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Pushed:
    """A push that stands."""

    server: str
    name: str
    alias: str | None
    turn: int
    version: str
    folder: str
    place: str
    how: How
    adapter: AdapterReport | None
    """What the adapter keeps; None where it was there already, or the weights went whole."""
    answers: Mapping[str, Agreement]
    unloaded: tuple[str, ...]
    """Versions that the server was told to forget."""
    removed: tuple[str, ...]
    """Folders that were taken away."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def look(workspace: Workspace, wanted: Wanted) -> Outlook:
    """What a push would meet; nothing is written, and the server is only asked.

    Args:
        workspace: Opened for reading.
        wanted: What would be pushed.

    Returns:
        What the server is and lacks, and what each rank would cost.

    Raises:
        ServerError: Nothing answers, or it is no server that is known.
        ConfigError: The server has no such way.
        WorkspaceError: There is no such mark or turn, or its state is no longer kept.
    """
    step = _Step(workspace, wanted)
    way = step.way
    lacks = tuple(way.lacks())
    editor = step.editor()
    energy: dict[int, float] = {}
    if way.takes != "merged":
        factors = [
            factorise(w.name, w.shift.T if w.transposed else w.shift) for w in editor.weights
        ]
        energy = {rank: min(f.kept(rank) for f in factors) for rank in useful_ranks(factors)}
    return Outlook(
        way.server,
        way.base_path(),
        step.turn,
        step.version,
        str(step.place.local),
        lacks,
        way.rank,
        energy,
        step.ask_base(Answers(editor)),
    )


def push(workspace: Workspace, wanted: Wanted, tell: Tell) -> Pushed:
    """Let a server answer from a workspace's edits; where its answers are not the workspace's, it goes back.

    Args:
        workspace: Opened for reading.
        wanted: What is pushed.
        tell: Told what is being done, a line at a time.

    Returns:
        What stands.

    Raises:
        ServerError: The server lacks what is needed, refuses, does not answer, or answers otherwise.
        ConfigError: The server has no such way, or the folder cannot be written.
        WorkspaceError: There is no such mark or turn, or its state is no longer kept.
    """
    step = _Step(workspace, wanted)
    way, ledger = step.way, step.ledger
    lacks = way.lacks()
    if lacks:
        raise ServerError(
            f"{way.server} at {step.endpoint.url} takes no edits as it was started; it lacks: {'; '.join(lacks)}. "
            "Start it again with that (`ultraedit push --dry-run` says which rank your edits need)."
        )
    ledger.require_writable()
    rows = list(ledger.rows())
    way.remember({row.name: row.place for row in rows if row.url == step.endpoint.url})
    answers = Answers(step.editor())
    tell(f"{way.server} serves {way.base_path()}")
    base = step.ask_base(answers)
    if base is not None and not base.holds:
        raise ServerError(
            f"what {way.server} at {step.endpoint.url} serves is not the model that the workspace was made from: "
            f"{base.agreed} of {base.asked} answers are that model's ({base.first}); nothing was changed. Start the "
            f"server with {step.editor().base}."
        )
    asked = step.questions(answers)
    name, report, found = _loaded(step, answers, asked, tell)
    tell(f"{_told(found)}: the answers are the workspace's")
    ledger.note(step.row(name))
    unloaded, removed = _let_go(step, [*rows, step.row(name)])
    return Pushed(
        way.server,
        name,
        wanted.alias,
        step.turn,
        step.version,
        str(step.place.local / name),
        step.place.seen(name),
        wanted.how,
        report,
        found,
        unloaded,
        removed,
    )


class _Step:
    """What all steps of one push share."""

    def __init__(self, workspace: Workspace, wanted: Wanted) -> None:
        self.workspace = workspace
        self.wanted = wanted
        self.endpoint = Endpoint(wanted.url, wanted.key, wanted.admin_key)
        folder = workspace.store.folder.resolve()
        self.name = re.sub(r"[^A-Za-z0-9._-]", "-", folder.name).lstrip(".-") or "workspace"
        default = folder.parent / f"{folder.name}-pushed"
        self.place = (
            folders.Place(default, str(default), False)
            if wanted.folder is None
            else folders.Place.read(wanted.folder)
        )
        self.turn = workspace.head if wanted.at is None else workspace.history.resolve(wanted.at)
        self.version = f"{self.name}-{version_name(workspace.store, self.turn)}"
        self.ledger = Ledger(folder)
        self.way = find_way(self.endpoint, wanted.how)
        self._editor: Editor | None = None
        self._refuse()

    def _refuse(self) -> None:
        way, wanted = self.way, self.wanted
        if self.turn == 0 and way.takes != "merged":
            raise ConfigError(
                "turn 0 is the unedited model, which no adapter is needed for: ask the server for its own model."
            )
        if wanted.alias is not None and not way.names_versions:
            raise ConfigError(
                f"{way.server} goes on under its own name with --how {wanted.how}; leave --as out."
            )
        if isinstance(way, VllmWeights) and not self.endpoint.here and not self.place.told:
            raise ConfigError(
                f"vLLM ends where it is told to read a folder that it does not see, and {self.endpoint.url} is another "
                "machine; say how it sees the folder with --folder LOCAL=SERVER."
            )

    def editor(self) -> Editor:
        """The live model at the state that is pushed."""
        if self._editor is None:
            self._editor = self.workspace.editor
            if self.turn != self.workspace.head:
                self._editor.restore(self.workspace.snapshot(self.turn))
        return self._editor

    def records(self) -> list[Record]:
        """The edits in force there, oldest first."""
        return self.workspace.history.in_force(self.turn)

    def questions(self, answers: Answers) -> list[Question]:
        """What is asked, with the workspace's own answers."""
        groups = prompts(self.records(), self.wanted.check)
        return [q for group, texts in groups.items() for q in answers.questions(group, texts)]

    def ask_base(self, answers: Answers) -> Agreement | None:
        """Whether the server's own model is the workspace's unedited one."""
        asker = self.way.base()
        if asker is None:
            return None
        texts = prompts([], self.wanted.check)["unrelated"]
        with self.editor().disable_edits():
            found = answers.compare(asker, answers.questions("unrelated", texts))
        return found.get("unrelated")

    def row(self, name: str) -> Row:
        """What is noted of the push."""
        return Row(
            time=now(),
            url=self.endpoint.url,
            server=self.way.server,
            how=self.wanted.how,
            name=name,
            folder=str(self.place.local / name),
            place=self.place.seen(name),
            turn=self.turn,
            version=self.version.removeprefix(f"{self.name}-"),
            alias=self.wanted.alias,
        )


def _loaded(
    step: _Step, answers: Answers, asked: Sequence[Question], tell: Tell
) -> tuple[str, AdapterReport | None, Mapping[str, Agreement]]:
    """Export, load, ask.  Whatever goes wrong, the server is brought back to what it answered from."""
    way, alias = step.way, step.wanted.alias
    try:
        name, report = _made(step, tell)
        tell(f"loading {step.place.seen(name)}")
        try:
            asker = way.load(name, step.place.seen(name))
        except RankTooHigh as high:
            way.rank = high.most
            name, report = _made(step, tell)
            asker = way.load(name, step.place.seen(name))
        found = answers.compare(asker, asked)
        _require(step, name, found)
        way.settle()
        if alias is not None:
            found = answers.compare(way.rename(alias, step.place.seen(name)), asked)
            _require(step, alias, found)
    except BaseException as error:
        _go_back(step, error)
        if not isinstance(error, ServerError):
            raise
        raise ServerError(
            f"{str(error).rstrip('.')}; {way.server} answers as it did before."
        ) from error
    return name, report, found


def _go_back(step: _Step, error: BaseException) -> None:
    """Bring the server back.  Raises ServerError where it does not do that, with what went wrong first."""
    try:
        step.way.go_back()
    except (ServerError, RankTooHigh) as second:
        raise ServerError(
            f"{str(error).rstrip('.')}; and {step.way.server} could not be brought back ({str(second).rstrip('.')}): "
            f"it may answer from {step.version} still. When it answers again, push the version that it should have "
            "with --at."
        ) from error


def _made(step: _Step, tell: Tell) -> tuple[str, AdapterReport | None]:
    """The version's folder, made if it is not there."""
    way, editor = step.way, step.editor()
    name = folders.existing(step.place, step.version, way.takes, way.rank)
    if name is not None:
        tell(f"{step.place.local / name} is there already")
        return name, None
    reports: list[AdapterReport] = []

    def write(made: Path) -> str:
        if way.takes == "merged":
            export(editor, "merged", made)
            return f"{step.version}-weights"
        report = _adapter(step, made, tell)
        reports.append(report)
        return f"{step.version}-r{report.rank}{'.gguf' if way.takes == 'gguf-lora' else ''}"

    tell(f"exporting {step.version} to {step.place.local}")
    name = folders.make(step.place, step.version, write)
    return name, reports[0] if reports else None


def _adapter(step: _Step, made: Path, tell: Tell) -> AdapterReport:
    """Export an adapter of a rank that the server takes.  Raises ServerError where that keeps too few edits."""
    way, records = step.way, step.records()

    def write(rank: int | None) -> AdapterReport:
        done = export(
            step.editor(),
            way.takes,
            made,
            records=records,
            adapter=AdapterSettings(rank, force=True),  # what it keeps is told in words of a push
            overwrite=True,
        )
        assert done.adapter is not None
        return done.adapter

    report = write(None)
    needed = report.rank
    if way.rank is not None and needed > way.rank:
        report = write(max(rank for rank in RANKS if rank <= way.rank))
    least, most = min(report.energy.values()), max(report.energy.values())
    e = report.efficacy
    what = (
        f"at rank {report.rank} the adapter keeps {least:.0%} to {most:.0%} of the edits' energy and {e.both} of the "
        f"{e.live} edits that the workspace's model answers right"
    )
    if not e.live:
        raise ServerError(
            f"the workspace's model answers none of its {e.scored} edits right, so an adapter could keep none; undo "
            "them, or push with --how weights"
        )
    if not report.enough:
        more = (
            f"start the server with --max-lora-rank {needed}"
            if report.rank < needed
            else "no adapter holds these edits"
        )
        raise ServerError(
            f"{what} ({KEEP:.0%} are asked for), and {way.server} takes rank {way.rank or RANKS[-1]} at most: {more}, "
            "or push with --how weights."
        )
    tell(what + (f"; rank {needed} would give the same answers" if report.rank < needed else ""))
    return report


def _require(step: _Step, name: str, found: Mapping[str, Agreement]) -> None:
    """Raise ServerError where the answers are not the workspace's."""
    wrong = {group: a for group, a in found.items() if not a.holds}
    if not wrong:
        return
    first = next((a.first for a in wrong.values() if a.first), "")
    shown = f" ({first})" if first else ""
    raise ServerError(f'"{name}" does not answer as the workspace does: {_told(found)}{shown}')


def _told(found: Mapping[str, Agreement]) -> str:
    def one(group: str, a: Agreement) -> str:
        apart = "" if a.apart is None else f", log probabilities {a.apart:.3f} apart"
        return f"{a.agreed} of {a.asked} {group} answers{apart}"

    return "; ".join(one(group, a) for group, a in found.items())


def _let_go(step: _Step, rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Forget versions beyond --keep, here and at the server; never one that it, or another server, may answer from."""
    way, url = step.way, step.endpoint.url
    newest: dict[str, Row] = {}
    for row in rows:  # a version that is pushed again counts as new
        if row.url == url:
            newest.pop(row.folder, None)
            newest[row.folder] = row
    old = list(newest.values())[: -step.wanted.keep]
    elsewhere = {row.folder for row in rows if row.url != url}
    unloaded = []
    if way.names_versions:
        loaded = way.loaded()
        for row in old:
            if row.name in loaded:
                way.unload(row.name)
                unloaded.append(row.name)
    loaded = way.loaded()
    used = {*loaded, *loaded.values()}
    removed = [
        row.folder
        for row in old
        if row.folder not in elsewhere
        and row.name not in used
        and row.place not in used
        and folders.remove(Path(row.folder))
    ]
    return tuple(unloaded), tuple(removed)
