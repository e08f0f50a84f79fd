"""A workspace with its live model: edits are acknowledged on disk, and the past can be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit import arguments
from ultraedit.data.record import Record
from ultraedit.editing.arguments import check_records, one_record
from ultraedit.editing.editor import Answer, Editor, WrittenTurn
from ultraedit.editing.memory import give_back_freed
from ultraedit.editing.receipt import Receipt
from ultraedit.editing.routing import RoutingReading
from ultraedit.editing.snapshot import Snapshot
from ultraedit.errors import UltraEditError, WorkspaceError
from ultraedit.methods.base import TurnResult
from ultraedit.model.load import load, resolve
from ultraedit.settings import EditSettings
from ultraedit.workspace import tensors
from ultraedit.workspace.chat import ChatReading
from ultraedit.workspace.config import method_in
from ultraedit.workspace.health import Monitor
from ultraedit.workspace.history import History
from ultraedit.workspace.journal import EditRow, FileRow, HealthRow, SourceRow, TurnRow
from ultraedit.workspace.store import CALIBRATION_FILE, NewTurn, Store, file_row, now

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@dataclass(frozen=True)
class KeptTurn(WrittenTurn):
    """A turn that is safe on disk; its number is that of the journal."""

    health: HealthRow
    rolled_back_to: int | None = None
    """The turn the workspace went back to, where the policy is rollback and the reading red."""
    chat: ChatReading | None = None
    """What it left of the model's own answers; None where the edits are not in chat form."""
    routing: RoutingReading | None = None
    """Tokens that go to other experts now; None where there are no experts above the first edit."""

    @property
    def in_force(self) -> bool:
        return self.rolled_back_to is None


@dataclass(frozen=True)
class WrittenAgain:
    """A turn that writes edits of the journal once more."""

    edits: Sequence[int]
    """Numbers of the edits that are written again, in the turn's order."""
    first_edit: int
    """Number that the first of the new edits gets."""
    keep: bool
    """Put the files of the turn's state and updates in place."""


class Workspace:
    """An opened workspace.  The model is loaded when it is first needed.

    One process may write; any number may read.  Use as a context manager, or call `close`.
    """

    def __init__(
        self,
        store: Store,
        *,
        base: str | None = None,
        device: str = "cpu",
        device_map: arguments.DeviceMap = None,
        trust_remote_code: bool = False,
        loaded: Loaded | None = None,
    ) -> None:
        self.store = store
        self._base = base
        self._device = device
        self._device_map = device_map
        self._trust_remote_code = trust_remote_code
        self._loaded = loaded
        self._editor: Editor | None = None
        self._monitor: Monitor | None = None
        self.last_turn: KeptTurn | None = None
        """The newest turn that was written since the workspace was opened."""

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        write: bool = False,
        base: str | None = None,
        device: str = "cpu",
        device_map: arguments.DeviceMap = None,
        trust_remote_code: bool = False,
        loaded: Loaded | None = None,
        command: str = "ultraedit",
    ) -> Workspace:
        """Open a folder made by `create_workspace` at its last acknowledged state.

        Args:
            folder: The workspace.
            write: Open for writing; one process may.
            base: Where the unedited model lies now, if it was moved.
            device: Where the model runs.
            device_map: How it is spread over devices, as in `Editor.from_pretrained`.
            trust_remote_code: Run the code that a checkpoint carries.
            loaded: The unedited model and its tokenizer, already in memory.
            command: What a second writer is told about this one.

        Returns:
            The workspace; its model is loaded when it is first needed.

        Raises:
            WorkspaceError: The folder is no workspace, is damaged, or is written by another process.
            ConfigError: An argument is of the wrong kind.
        """
        path = arguments.place(folder, "the workspace's folder")
        base = None if base is None else arguments.model_name(base, "the base model")
        device = arguments.device(device)
        device_map = arguments.device_map(device_map)
        arguments.one_place(device, device_map)
        trust_remote_code = arguments.flag(trust_remote_code, "trust_remote_code")
        loaded = arguments.pair(loaded)
        store = Store.open(path, write=arguments.flag(write, "write"), command=command)
        return cls(
            store,
            base=base,
            device=device,
            device_map=device_map,
            trust_remote_code=trust_remote_code,
            loaded=loaded,
        )

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write.  The folder needs nothing else: it is always whole."""
        self.store.close()

    @property
    def history(self) -> History:
        """What the journal says: marks, turns, and what has become of each edit."""
        return self.store.history

    @property
    def head(self) -> int:
        """The turn the workspace stands at; 0 is the base."""
        return self.store.head

    # -- the live model ----------------------------------------------------------------------------

    @property
    def editor(self) -> Editor:
        """The live model at the head.  Edit through the workspace: what its editor writes alone is not kept.

        Raises WorkspaceError where the base model is not the one the workspace was made with.
        """
        if self._editor is None:
            editor = self._open_editor()
            if self.head and not self.store.state_path(self.head).exists():
                self.store.reload()  # a writer has moved on, and dropped this state, since this was opened
            editor.restore(self.snapshot(self.head, editor))
            self._editor = editor
        return self._editor

    @property
    def live(self) -> Editor | None:
        """`editor` if the model is in memory; asking loads nothing."""
        return self._editor

    def _open_editor(self) -> Editor:
        config, folder = self.store.config, self.store.folder
        name = self._base or config.base_location(folder)
        if self._loaded is None:
            self._require_base(name)
        model, tokenizer = self._loaded or load(
            name,
            dtype=config.base.dtype,
            device=self._device,
            device_map=self._device_map,
            trust_remote_code=self._trust_remote_code,
            quantize=config.base.quantize,
            keep=[m.name for m in config.modules],
        )
        path = folder / CALIBRATION_FILE
        if not path.is_file() or file_row(path) != config.calibration:
            raise WorkspaceError(f"'{path}' is damaged or missing; restore it from a backup.")
        editor = Editor(
            model,
            tokenizer,
            EditSettings(
                preset=method_in(config, folder),
                modules=[m.name for m in config.modules],
                form=config.form,
                micro_batch=config.micro_batch,
            ),
            base=name,
            calibration=tensors.load_calibration(path),
        )
        if tensors.originals_digest(editor.weights) != config.base.edited_sha256:
            raise WorkspaceError(
                f"the weights of '{name}' are not those '{folder}' was made with ({config.base.name}); give the "
                "right base model with --base."
            )
        return editor

    def _require_base(self, name: str) -> None:
        """Raise WorkspaceError where a local base is gone, or a file of it was written since and holds other bytes.

        Files that were not touched since are taken at their word: reading them all would take longer than loading.
        """
        config, folder = self.store.config, Path(resolve(name))
        if config.base.files and not folder.is_dir():
            raise WorkspaceError(
                f"the base model of '{self.store.folder}' is not at '{name}'; say where it lies now with --base "
                "(in Python base=)."
            )
        created = datetime.fromisoformat(config.created).timestamp()
        for file_name, row in config.base.files.items():
            file = folder / file_name
            touched = file.is_file() and (
                file.stat().st_size != row.bytes
                or (file.stat().st_mtime > created and file_row(file) != row)
            )
            if touched or not file.is_file():
                raise WorkspaceError(
                    f"the base model '{name}' is not the one '{self.store.folder}' was made with: '{file_name}' is "
                    f"{'another' if touched else 'missing'}; give the right one with --base (in Python base=)."
                )

    def snapshot(self, turn: int, editor: Editor | None = None) -> Snapshot:
        """The state after a turn, from its file.

        Args:
            turn: The turn's number; 0 is the base.
            editor: The editor whose state it is to be; None is the workspace's own.

        Returns:
            A snapshot that the editor can restore.

        Raises:
            WorkspaceError: The state is no longer kept, or its file is gone or damaged.
        """
        turn = arguments.whole(turn, "turn", 0)
        editor = editor or self.editor
        if turn == 0:
            shifts = {w.name: torch.zeros_like(w.shift) for w in editor.weights}
            return Snapshot(shifts, editor.engine.start(), 0, 0)
        path = self.store.state_path(turn)
        if turn not in self.store.journal.states:
            raise WorkspaceError(
                f"the state after turn {turn} is no longer kept (undo window {self.store.config.undo_window} turns); "
                "undo to it, which edits again what is needed, or keep states by marking them."
            )
        try:
            file = tensors.load_state(path, editor.weights[0].shift.device)
        except FileNotFoundError as error:
            raise WorkspaceError(f"'{path}' is missing; restore it from a backup.") from error
        row = self.store.journal.turns[turn]
        shapes = {name: shift.shape for name, shift in file.shifts.items()}
        if file.digests() != (row.shifts, row.statistics) or shapes != {
            w.name: w.shift.shape for w in editor.weights
        }:
            raise WorkspaceError(f"'{path}' is damaged; restore it from a backup.")
        try:
            statistics = editor.engine.load_state_dict(file.statistics)
        except KeyError as error:
            raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error
        return Snapshot(file.shifts, statistics, file.edits, file.turns)

    def adopt(self, editor: Editor) -> None:
        """Take an editor that stands at the head already, as that of a workspace just made.

        Args:
            editor: The live model.
        """
        self._editor = editor

    def to_head(self) -> None:
        """Bring the live model to what is acknowledged on disk."""
        if self._editor is not None:
            self._editor.restore(self.snapshot(self.head))

    def back_to_head(self) -> None:
        """`to_head` after an error, which must not be hidden by a second one.

        A model that cannot be brought back is let go, and opened anew, with its own error, when it is next needed.
        """
        try:
            self.to_head()
        except (UltraEditError, OSError):
            self._editor = self._monitor = None

    # -- editing -----------------------------------------------------------------------------------

    def edit(
        self, prompt: str, target: str, *, rephrases: str | Sequence[str] = (), edit_id: str = ""
    ) -> Receipt:
        """Write one fact, as a turn of its own, and return once it is safe on disk.

        Args:
            prompt: What the model is asked.
            target: The answer it is to have.
            rephrases: Further wordings to write with it; one text is one.
            edit_id: What the receipt calls it; by default "edit-" and its number in the journal.

        Returns:
            The receipt, with the answers before and after, as `Editor.edit` gives it.

        Raises:
            DataError: The prompt or the target cannot be used.
            NumericalError: The turn was refused.
            WorkspaceError: The workspace is open for reading only, or the disk refuses.
        """
        self.store.require_writer()
        given = one_record(prompt, target, rephrases, edit_id, self.store.journal.edits + 1)
        (record,) = self.editor.prepare([given], with_rephrases=True)
        return self.editor.with_answers(
            record, lambda: self.edit_turn([record], with_rephrases=True)
        )

    def edit_turn(
        self,
        records: Sequence[Record],
        *,
        with_rephrases: bool = False,
        source: SourceRow | None = None,
    ) -> KeptTurn:
        """Write one turn and return once it is safe on disk; whatever fails, model and folder stay as they were.

        Args:
            records: The edits.
            with_rephrases: Write each record's rephrases too; off, they are left for evaluation.
            source: Place in the file that the records come from, for a stream that goes on behind it.

        Returns:
            The receipts, the model's health, and where the workspace went back to if its policy says so.

        Raises:
            ConfigError: There are no records.
            DataError: A record cannot be used.
            NumericalError: The turn was refused.
            WorkspaceError: The workspace is open for reading only, or the disk refuses.
        """
        self.store.require_writer()
        records = self.editor.prepare(check_records(records), with_rephrases)
        editor, parent = self.editor, self.head
        monitor = self._monitor or self.watch()
        before = editor.snapshot()
        number = self.store.journal.next_turn
        try:
            written = self.write(records, with_rephrases)
            health = monitor.read(written.receipts, number, self.history, parent)
            chat, routing = monitor.chat(), monitor.routing()
            new = self.describe(
                number, parent, records, written, with_rephrases, source=source, health=health
            )
            kept = self.store.journal.states
            back = self.history.healthy(parent, kept) if self._must_roll_back(health) else None
            if back is not None:
                note = (
                    f"turn {number} turned red ({'; '.join(health.reasons)}): back to turn {back}"
                )
                self.store.commit("rollback", back, turns=[new], note=note)
                editor.restore(self.snapshot(back))
            else:
                self.store.commit("edit", number, turns=[new])
        except BaseException as error:
            if self.head == parent:
                editor.restore(before)
            else:
                self.back_to_head()
            if isinstance(error, OSError):
                raise self.refused(error) from error
            raise
        del before
        give_back_freed()  # health readings and snapshots too, not the turn's own scratch alone
        receipts = tuple(replace(r, turn=number) for r in written.receipts)
        self.last_turn = KeptTurn(receipts, written.result, health, back, chat, routing)
        return self.last_turn

    def watch(self) -> Monitor:
        """Make what reads the model's health, as the first turn does where this was not called before.

        Returns:
            The monitor; the unedited model has been asked all that it needs.
        """
        config = self.store.config
        self._monitor = Monitor(self.editor, config.health, config.seed)
        return self._monitor

    def write(self, records: Sequence[Record], with_rephrases: bool) -> WrittenTurn:
        """Edit the live model only; nothing is kept.

        Args:
            records: The edits.
            with_rephrases: Write each record's rephrases too.

        Returns:
            The turn, numbered as the editor counts.
        """
        return self.editor.edit_turn(records, with_rephrases=with_rephrases)

    def describe(
        self,
        number: int,
        parent: int,
        records: Sequence[Record],
        written: WrittenTurn,
        with_rephrases: bool,
        *,
        source: SourceRow | None = None,
        health: HealthRow | None = None,
        again: WrittenAgain | None = None,
    ) -> NewTurn:
        """The journal's rows of a turn that the live model has just made.

        Args:
            number: The turn's number.
            parent: The turn it was written on top of.
            records: The edits.
            written: What came of them.
            with_rephrases: Whether their rephrases were written too.
            source: Place in the file that the records come from.
            health: The model's health after the turn.
            again: Which edits of the journal these write again; None where they are new.

        Returns:
            The row of the turn and those of its edits.
        """
        first = self.store.journal.edits + 1 if again is None else again.first_edit
        rows = [
            EditRow(
                edit=first + i,
                turn=number,
                id=receipt.id,
                prompt=receipt.prompt,
                target=receipt.target,
                rephrases=record.written(with_rephrases)[1:],
                sentences=record.sentences,
                line=receipt.line,
                probability_before=receipt.probability_before,
                probability_after=receipt.probability_after,
                learned=receipt.learned,
                superseded_by=receipt.superseded_by,
                again_of=None if again is None else again.edits[i],
            )
            for i, (record, receipt) in enumerate(zip(records, written.receipts, strict=True))
        ]
        state, pairs, shifts, statistics = self.put_state(
            number, written.result, again is None or again.keep
        )
        turn = TurnRow(
            turn=number,
            parent=parent,
            kind="edit",
            time=now(),
            first_edit=first,
            edits=len(rows),
            with_rephrases=with_rephrases or any(r.wordings for r in records),
            shifts=shifts,
            statistics=statistics,
            moved=written.result.moved,
            state=state,
            pairs=pairs,
            seconds=written.receipts[0].seconds,
            source=source,
            health=health,
        )
        return turn, rows

    def put_state(
        self, number: int, turn: TurnResult | None, keep: bool
    ) -> tuple[FileRow | None, FileRow | None, dict[str, str], str]:
        """Write the live state, and a turn's updates, into the folder.

        Args:
            number: The turn's number.
            turn: What the method did; None where the state was made without it.
            keep: Write files; off, only the digests are made.

        Returns:
            The files of the state and of the updates, digests of the shifts, and the digest of the statistics.
        """
        store, editor = self.store, self.editor
        state = editor.snapshot()

        def put() -> tuple[FileRow | None, FileRow | None, dict[str, str], str]:
            shifts, statistics = tensors.state_digests(state)
            if not keep:
                return None, None, shifts, statistics
            file = store.put(store.state_path(number), lambda p: tensors.save_state(p, state))
            pairs = None
            if turn is not None and turn.updates and store.config.undo_window:
                names, made = [w.name for w in editor.weights], turn
                pairs = store.put(
                    store.pairs_path(number), lambda p: tensors.save_pairs(p, made, names)
                )
            return file, pairs, shifts, statistics

        return editor.listener.meanwhile(put)

    def _must_roll_back(self, health: HealthRow) -> bool:
        return health.level == "red" and self.store.config.health.policy == "rollback"

    def refused(self, error: OSError) -> WorkspaceError:
        """The error to raise where the disk refused a write.

        Args:
            error: What the disk said.

        Returns:
            One sentence: where the workspace stands, and what to do.
        """
        return WorkspaceError(
            f"'{self.store.folder}' could not be written ({error.strerror or error}); it stands at turn {self.head}, "
            "as does the model: free some space or mend the disk, and go on."
        )

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self,
        prompt: str,
        *,
        at: str | int | None = None,
        compare: bool = False,
        max_new_tokens: int = 32,
    ) -> Answer:
        """Ask the model.

        Args:
            prompt: What it is asked.
            at: A mark or turn; None is now.
            compare: Ask the unedited model too.
            max_new_tokens: Longest answer to generate.

        Returns:
            The greedy answer, and with `compare` the unedited model's.

        Raises:
            DataError: The prompt is empty, or longer than the model's context.
            WorkspaceError: There is no such mark or turn, or its state is no longer kept.
        """
        with self.at(at):
            return self.editor.ask(prompt, compare=compare, max_new_tokens=max_new_tokens)

    @contextmanager
    def at(self, name: str | int | None) -> Iterator[None]:
        """The live model as it was at a mark or turn, inside the block.  None is the head."""
        if name is None:
            yield
            return
        with self.editor.as_of(self.snapshot(self.history.resolve(name))):
            yield
