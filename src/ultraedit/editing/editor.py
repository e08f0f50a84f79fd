"""The `Editor`: a live model whose knowledge can be changed, asked, compared and saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit import arguments
from ultraedit.data.read import Source
from ultraedit.data.record import Record
from ultraedit.editing.arguments import (
    check_calibration,
    check_model,
    check_records,
    check_snapshot,
    check_tokenizer,
    one_record,
)
from ultraedit.editing.assemble import (
    Wordings,
    assemble,
    encode_record,
    room_to_answer,
    said_for,
    where,
)
from ultraedit.editing.memory import give_back_freed
from ultraedit.editing.notes import Notes, lasting_name, notes_of
from ultraedit.editing.outcome import Answer, EditSummary, Tally, WrittenTurn
from ultraedit.editing.own_words import OwnWords
from ultraedit.editing.plain import plain_name
from ultraedit.editing.receipt import Receipt
from ultraedit.editing.rewordings import Rewordings
from ultraedit.editing.routing import Routing, routing
from ultraedit.editing.save import save_model
from ultraedit.editing.snapshot import Snapshot
from ultraedit.editing.uninterrupted import uninterrupted
from ultraedit.errors import ConfigError
from ultraedit.io.digest import fingerprint
from ultraedit.methods.base import Calibration, LiveModel, State
from ultraedit.model.check import check_split
from ultraedit.model.context import context_length
from ultraedit.model.find import find_structure
from ultraedit.model.form import FormChoice, PromptForm
from ultraedit.model.generate import as_text, stop_token_ids
from ultraedit.model.load import load
from ultraedit.model.overlay import Version, reading
from ultraedit.model.probe import check_experts, check_gradients
from ultraedit.model.quantised import keep_gradients, require_whole, unpack
from ultraedit.model.runner.listener import Listener
from ultraedit.model.runner.local import LocalRunner
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack
from ultraedit.model.steady import steady
from ultraedit.model.text import PromptEncoder
from ultraedit.model.usable import follow, usable
from ultraedit.model.weights import edited_weights, originals, shifted, version_of
from ultraedit.settings import EditSettings, check_settings

BEFORE_TOKENS = 16
"""Length to which a receipt's answer before the edit is generated: it is most of the time that a single edit takes."""


@dataclass(frozen=True)
class _View:
    """How a block shows an editor's model."""

    asleep: bool = False
    """Without its edits."""
    past: State | None = None
    """What its method remembered at the time that is shown."""


_LIVE = _View()
_views: ContextVar[Mapping[int, _View]] = ContextVar("_views", default={})  # noqa: B039 - never written into
"""Id of an editor -> how this thread and context sees its model."""


class Editor:
    """Edits facts into a causal language model.

    The model passed in is changed, and stays changed: it is put into eval mode and frozen.  Two editors on one
    model would overwrite each other's work.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        settings: EditSettings | None = None,
        *,
        base: str | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        """Take a model that is loaded already, and measure ordinary text in it.

        Args:
            model: A causal language model of transformers.
            tokenizer: Its tokenizer.
            settings: How it is edited; None takes all defaults.
            base: Name of the unedited model, for the saved folder's notes; None takes the one the model has.
            calibration: What an editor with these settings measured on this model; the text is then not run again.

        Raises:
            ModelError: The model's structure cannot be edited.
            ConfigError: A setting is of the wrong kind, out of range, or not the preset's.
        """
        check_model(model)
        check_tokenizer(tokenizer)
        settings = check_settings(settings)
        check_calibration(calibration)
        self.model = usable(model).eval().requires_grad_(False)
        self.tokenizer = tokenizer
        own = getattr(model.config, "_name_or_path", "") or "unnamed model"
        self.base = lasting_name(str(own) if base is None else arguments.model_name(base, "base"))
        self.method = settings.method()
        self.encoder = PromptEncoder(tokenizer, settings.form)
        self.form: PromptForm = self.encoder.form
        self.voice = self.method.voice_in(self.form)
        wanted = settings.modules or self.method.modules
        structure = find_structure(self.model, named=wanted not in ("auto", "upper", "paper"))
        self._structure = structure
        projections = select_projections(self.model, structure, wanted)
        keep_gradients(self.model)
        unpack(self.model, [p.name for p in projections])
        with steady(self.model):
            self.weights = edited_weights(self.model, projections)
            self.stack = Stack(self.model, structure, min(p.block for p in projections))
            check_split(self.stack)
            check_experts(self.stack, self.weights)
            check_gradients(self.stack, self.weights)
            self.runner = LocalRunner(self.stack, self.weights)
            live = LiveModel(
                self.model,
                tokenizer,
                self.encoder,
                structure,
                self.weights,
                self.runner,
                settings.ordinary_text(),
                settings.micro_batch,
                calibration and calibration.on(tuple(w.map.device for w in self.weights)),
            )
            self.engine = self.method.engine(live)
            self._statistics: State = self.engine.start()
        self.edits = 0
        self.turns = 0

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        settings: EditSettings | None = None,
        *,
        dtype: str = "auto",
        device: str = "cpu",
        device_map: arguments.DeviceMap = None,
        trust_remote_code: bool = False,
        quantize: str | None = None,
    ) -> Editor:
        """Load a model, ready to edit.

        Args:
            name: A local folder, a hub id, or the alias "smollm2".
            settings: How it is edited; None takes all defaults.
            dtype: "auto" (the checkpoint's own), "float32", "bfloat16", "float16", or "fastest" on this machine.
            device: Where it runs: "cpu", "cuda", "cuda:1".
            device_map: Spread over devices by accelerate: "auto", "balanced", "balanced_low_0", "sequential", or a
                mapping of module names to devices ("disk" offloads); None keeps it whole on `device`.
            trust_remote_code: Run the code that a checkpoint carries.
            quantize: "4bit" or "8bit" for all but the edited maps, by bitsandbytes; None loads the weights as they are.

        Returns:
            An editor of the loaded model.

        Raises:
            ModelError: The model cannot be loaded, or its structure cannot be edited.
            ConfigError: A setting is of the wrong kind, out of range, or not the preset's.
        """
        settings = check_settings(settings)
        method = settings.method()  # a bad setting is told before minutes of loading
        model, tokenizer = load(
            arguments.model_name(name),
            dtype=arguments.dtype(dtype),
            device=arguments.device(device),
            device_map=arguments.device_map(device_map),
            trust_remote_code=arguments.flag(trust_remote_code, "trust_remote_code"),
            quantize=arguments.quantize(quantize),
            keep=arguments.names(settings.modules or method.modules),
        )
        return cls(model, tokenizer, settings, base=str(name))

    @property
    def listener(self) -> Listener:
        """Hears the phases and pauses of turns; a plain `Listener` does nothing."""
        return self.runner.listener

    @listener.setter
    def listener(self, listener: Listener) -> None:
        self.runner.listener = listener

    @property
    def statistics(self) -> State:
        """What the method remembers of all turns: inside `as_of`, what it remembered then."""
        past = self._view.past
        return self._statistics if past is None else past

    @statistics.setter
    def statistics(self, statistics: State) -> None:
        self._statistics = statistics

    # -- editing -----------------------------------------------------------------------------------

    def edit(
        self, prompt: str, target: str, *, rephrases: str | Sequence[str] = (), edit_id: str = ""
    ) -> Receipt:
        """Write one fact, as a turn of its own.

        Args:
            prompt: What the model is asked.
            target: The answer it is to have.
            rephrases: Further wordings to write with it; one text is one.
            edit_id: What the receipt calls it; by default "edit-" and its number.

        Returns:
            The receipt, with the answers before and after.

        Raises:
            DataError: The prompt or the target cannot be used.
            NumericalError: The turn was refused; the model is untouched.
        """
        record = one_record(prompt, target, rephrases, edit_id, self.edits + 1)
        records, encoded = self._ready([record], with_rephrases=True)
        return self.with_answers(records[0], lambda: self._write(records, encoded))

    def with_answers(self, record: Record, write: Callable[[], WrittenTurn]) -> Receipt:
        """Write one record, asking the model before and after.

        Args:
            record: The edit.
            write: Writes it as a turn of its own.

        Returns:
            Its receipt, with the answers and the time that all of it took.
        """
        started = time.perf_counter()
        asked = self.recall(record.prompt)
        ids = self.encoder.prompt(asked)
        before = self._answer(record.prompt, ids, BEFORE_TOKENS)
        written = write()
        receipt = written.receipts[0]
        if written.in_force and receipt.learned and bool(written.result.stops[0]):
            # the model says just this, and need not generate it
            taught = self.encoder.pair(record.prompt, said_for(record))[1]
            after = as_text(self.tokenizer, taught)
        else:
            again = self.recall(record.prompt)  # a method that retrieves may find the edit now
            ids = ids if again == asked else self.encoder.prompt(again)
            after = self._answer(record.prompt, ids)
        return replace(receipt, before=before, after=after, seconds=time.perf_counter() - started)

    def edit_turn(self, records: Sequence[Record], *, with_rephrases: bool = False) -> WrittenTurn:
        """Write one turn; all of it or nothing.

        Args:
            records: The edits.
            with_rephrases: Write each record's rephrases too; off, they are left for evaluation.

        Returns:
            The receipts, in the order of the records, and what the method did.

        Raises:
            ConfigError: There are no records.
            DataError: A record cannot be used.
            NumericalError: The turn was refused; the model is untouched.
        """
        return self._write(*self._ready(check_records(records), with_rephrases))

    def take_turn(self, records: Sequence[Record], *, with_rephrases: bool = False) -> None:
        """`edit_turn` without receipts, for many turns in a row: a method that trains waits for `settle`.

        Args:
            records: The edits.
            with_rephrases: Write each record's rephrases too.

        Raises:
            ConfigError: There are no records.
            DataError: A record cannot be used.
            NumericalError: The turn was refused; the model is untouched.
        """
        self._write(*self._ready(check_records(records), with_rephrases), put_off=True)

    def settle(self) -> None:
        """Write what `take_turn` put off.  Call it before the model is asked.

        Raises:
            ConfigError: The edits are disabled here.
        """
        self._require_awake()
        with self._held(), self._all_or_nothing():
            self.engine.settle(self.statistics)

    def _write(
        self, records: Sequence[Record], encoded: Sequence[Wordings], put_off: bool = False
    ) -> WrittenTurn:
        started = time.perf_counter()
        self._require_awake()
        ending = [self.encoder.end_token] if self.method.end_token else []
        turn = assemble(records, encoded, ending)
        with self._held():
            for w in self.weights:
                w.require_own()
            with self._all_or_nothing():
                done = self.engine.run(turn, self.statistics, put_off)
                self.statistics = done.state
                self.turns += 1
                self.edits += len(records)
        give_back_freed()
        seconds = time.perf_counter() - started
        receipts = tuple(
            Receipt(
                id=record.id,
                prompt=record.prompt,
                target=record.target,
                turn=self.turns,
                probability_before=float(done.probability_before[w]),
                probability_after=float(done.probability_after[w]),
                learned=bool(done.learned[w]),
                superseded_by=self._superseded(records, i, w),
                line=record.line,
                sentence=record.sentences[0] if record.sentences else None,
                seconds=seconds,
                moved=done.moved,
            )
            for i, (record, w) in enumerate(zip(records, turn.written_by, strict=True))
        )
        return WrittenTurn(receipts, done)

    def stream(
        self, source: Source, *, turn_size: int = 100, with_rephrases: bool = False
    ) -> Iterator[WrittenTurn]:
        """Edit turn by turn.  Holds one turn at a time.

        Args:
            source: A file's path, or any iterable of records, {"prompt", "target"} mappings or (prompt, target) pairs.
            turn_size: Edits written together; the last turn may be smaller.
            with_rephrases: Write each record's rephrases too.

        Returns:
            An iterator that yields each turn as soon as it is written.

        Raises:
            ConfigError: `turn_size` is no number of edits.
            DataError: The source cannot be read, or a record of it cannot be used.
            NumericalError: A turn was refused; those before it stay written.
        """
        from ultraedit.data import read_records

        turn_size = arguments.whole(turn_size, "turn_size", 1, "a turn holds at least {least} edit")
        # both are checked here and not when the first turn is asked for
        return self._turns(read_records(source), turn_size, with_rephrases)

    def _turns(
        self, records: Iterator[Record], turn_size: int, with_rephrases: bool
    ) -> Iterator[WrittenTurn]:
        chunk: list[Record] = []
        for record in records:
            chunk.append(record)
            if len(chunk) == turn_size:
                yield self.edit_turn(chunk, with_rephrases=with_rephrases)
                chunk = []
        if chunk:  # the last, partial turn is edited like any other
            yield self.edit_turn(chunk, with_rephrases=with_rephrases)

    def edit_many(
        self,
        source: Source,
        *,
        turn_size: int = 100,
        with_rephrases: bool = False,
        on_turn: Callable[[WrittenTurn], None] | None = None,
    ) -> EditSummary:
        """Edit a whole source and sum up.

        Memory does not grow with the number of edits, so the iterable may be unbounded.  (In bfloat16 on a CPU torch
        keeps up to 1,024 compiled kernels, .6 MB each at most; `editing.memory` says how to keep fewer.)

        Args:
            source: As in `stream`.
            turn_size: Edits written together.
            with_rephrases: Write each record's rephrases too.
            on_turn: Sees every turn as it is written.

        Returns:
            Counts, and means of the probabilities before and after.

        Raises:
            ConfigError: `turn_size` is no number of edits, or `on_turn` no function.
            DataError: The source cannot be read, or a record of it cannot be used.
            NumericalError: A turn was refused; those before it stay written.
        """
        if on_turn is not None and not callable(on_turn):
            raise ConfigError(f"on_turn is {arguments.quoted(on_turn)}; it must be a function.")
        started = time.perf_counter()
        tally = Tally()
        for written in self.stream(source, turn_size=turn_size, with_rephrases=with_rephrases):
            tally.add(written.receipts)
            if on_turn is not None:
                on_turn(written)
        return tally.summary(time.perf_counter() - started)

    @staticmethod
    def _superseded(records: Sequence[Record], i: int, winner: int) -> str | None:
        if winner == i or records[winner].target.strip() == records[i].target.strip():
            return None
        return records[winner].id or where(records[winner])

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self,
        prompt: str,
        *,
        compare: bool = False,
        max_new_tokens: int = 32,
        form: FormChoice | None = None,
    ) -> Answer:
        """Ask the model.

        Args:
            prompt: What it is asked.
            compare: Ask the unedited model too.
            max_new_tokens: Longest answer to generate.
            form: Form of the prompt; None is the one that the edits are put in.

        Returns:
            The greedy answer, and with `compare` the unedited model's.

        Raises:
            DataError: The prompt is empty, or longer than the model's context.
            ConfigError: A setting is of the wrong kind or out of range.
        """
        arguments.text(prompt, "the prompt")
        max_new_tokens = arguments.whole(max_new_tokens, "max_new_tokens", 1)
        encoder = self.encoder
        if form is not None:
            encoder = PromptEncoder(self.tokenizer, arguments.word(form, "form"))
        edited = self._answer(prompt, self._asked(prompt, encoder), max_new_tokens)
        if not compare:
            return Answer(edited)
        with self.disable_edits():
            original = self._answer(prompt, self._asked(prompt, encoder), max_new_tokens)
        return Answer(edited, original)

    def answers(self, prompts: Sequence[str], max_new_tokens: int = 32) -> list[str]:
        """Ask many prompts together, in the form that the edits are put in.

        Args:
            prompts: What the model is asked.
            max_new_tokens: Longest answer to generate.

        Returns:
            The greedy answer to each.

        Raises:
            DataError: A prompt is empty, or longer than the model's context.
            ConfigError: A setting is of the wrong kind or out of range.
        """
        max_new_tokens = arguments.whole(max_new_tokens, "max_new_tokens", 1)
        asked = [self._asked(arguments.text(p, "a prompt"), self.encoder) for p in prompts]
        return self._answers(prompts, asked, max_new_tokens)

    def recall(self, prompt: str) -> str:
        """The prompt as the model is asked it.

        Args:
            prompt: As the user gives it.

        Returns:
            The same text; `retrieval` puts the nearest edits before it.
        """
        return prompt if self._view.asleep else self.engine.recall(prompt, self.statistics)

    @contextmanager
    def disable_edits(self) -> Iterator[None]:
        """The original model in the same process, to the bit, inside the block.

        It is shown to this thread and context alone, and the live weights stay where they are.
        """
        with self._held():
            pass  # what was done to the model comes first, or the originals would be of another dtype
        with self._viewed(_View(asleep=True)), originals(self.weights):
            yield

    @contextmanager
    def as_of(self, snapshot: Snapshot) -> Iterator[None]:
        """The model as it was at a snapshot, inside the block; it is for asking, and nothing is edited there.

        It is shown to this thread and context alone, and the live weights stay where they are.
        """
        past = check_snapshot(snapshot, self.weights)
        with self._viewed(_View(past=past.statistics)), shifted(self.weights, past.shifts):
            yield

    @contextmanager
    def reading(self, version: Version) -> Iterator[None]:
        """The model in a version that `version` gave, inside the block, as `as_of` but without what the method
        remembered: it is for running the model."""
        with self._viewed(_View()), reading([w.map for w in self.weights], version):
            yield

    def version(self, snapshot: Snapshot | None = None) -> Version:
        """The edited weights as they are now, or were at a snapshot, for `reading`: a copy that later turns leave
        alone.

        Args:
            snapshot: What `snapshot` gave; None takes the present.

        Returns:
            The version.

        Raises:
            ConfigError: It is no snapshot, or of other modules.
        """
        now = {w.name: w.shift for w in self.weights}
        return version_of(
            self.weights,
            now if snapshot is None else check_snapshot(snapshot, self.weights).shifts,
        )

    @property
    def _view(self) -> _View:
        return _views.get().get(id(self), _LIVE)

    @contextmanager
    def _viewed(self, view: _View) -> Iterator[None]:
        token = _views.set({**_views.get(), id(self): view})
        try:
            yield
        finally:
            _views.reset(token)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Whatever was done with the model since, or is in force around this call, it is run as it was taken."""
        if not self._view.asleep:
            follow(self.model, self.weights)
        self.stack.forget()
        with steady(self.model):
            yield

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Weights, statistics and counts change together or not at all, whatever is raised inside the block and
        wherever Ctrl-C comes."""
        shifts = [w.shift for w in self.weights]  # not copies: who changes a shift makes a new one
        counts = self._statistics, self.edits, self.turns
        try:
            yield
        except BaseException:
            with uninterrupted():
                for w, shift in zip(self.weights, shifts, strict=True):
                    w.set_shift(shift)
                self._statistics, self.edits, self.turns = counts
            raise

    def _require_awake(self) -> None:
        """Raise ConfigError where the model is not shown as it is: an edit would be of another one."""
        if self._view.asleep:
            raise ConfigError(
                "the edits are disabled here; change the model outside `with editor.disable_edits()`."
            )
        if self._view is not _LIVE:
            raise ConfigError(
                "the model is shown as it was at another time here; change it outside of that block."
            )

    def _asked(self, prompt: str, encoder: PromptEncoder) -> list[int]:
        return encoder.prompt(self.recall(prompt))

    def _answer(self, prompt: str, ids: list[int], max_new_tokens: int = 32) -> str:
        return self._answers([prompt], [ids], max_new_tokens)[0]

    def _answers(
        self, prompts: Sequence[str], asked: Sequence[list[int]], max_new_tokens: int
    ) -> list[str]:
        """The greedy answer to each prompt, whose token ids `asked` holds."""
        rooms = [
            room_to_answer(p, ids, self.context) for p, ids in zip(prompts, asked, strict=True)
        ]
        with self._held():
            found = self.runner.generate(asked, min([max_new_tokens, *rooms]), self._stop())
        return [as_text(self.tokenizer, ids) for ids in found]

    def _stop(self) -> frozenset[int]:
        """What ends an answer."""
        return stop_token_ids(self.model, self.tokenizer)

    def _encode(self, records: Sequence[Record], with_rephrases: bool) -> list[Wordings]:
        return [encode_record(r, self.encoder, self.context, with_rephrases) for r in records]

    def _ready(
        self, records: Sequence[Record], with_rephrases: bool
    ) -> tuple[Sequence[Record], list[Wordings]]:
        """The records as they are written, and their token ids."""
        records = self.prepare(records, with_rephrases)
        return records, self._encode(records, with_rephrases)

    def prepare(self, records: Sequence[Record], with_rephrases: bool = False) -> Sequence[Record]:
        """The records with all that the unedited model makes for them.

        That is further wordings, where the method asks for some, and the sentences that are written, where answers are
        in the model's own words.

        Args:
            records: Edits; what they carry of either stays as it is.
            with_rephrases: Whether each rephrase gets a sentence too.

        Returns:
            Records with their wordings, and one sentence for each wording that is written; without sentences where
            answers are bare.

        Raises:
            DataError: A record cannot be used.
        """
        if self.voice == "bare":
            records = [replace(r, sentences=()) if r.sentences else r for r in records]
        # a record that has a sentence was made before, and one that has wordings has all it is to have
        plain = [not r.wordings and not r.sentences for r in records]
        wanted = self.method.wordings if any(plain) else 0
        missing = self.voice == "own" and not all(
            len(r.sentences) == len(r.written(with_rephrases)) for r in records
        )
        if not wanted and not missing:
            return records
        self._encode(records, with_rephrases)  # what cannot be used is said before any work
        with self.disable_edits(), self._held():
            if wanted:
                maker = Rewordings(self.runner, self.tokenizer, self.context, self._stop())
                found = iter(
                    maker.make([r.prompt for r, p in zip(records, plain, strict=True) if p], wanted)
                )
                records = [
                    replace(r, wordings=next(found)) if p else r
                    for r, p in zip(records, plain, strict=True)
                ]
            if self.voice == "bare":
                return records
            return OwnWords(self.runner, self.encoder, self.context, self._stop()).fill(
                records, with_rephrases
            )

    @property
    def context(self) -> int:
        """Tokens this model can take."""
        return context_length(self.model, self.tokenizer)

    def routing(self) -> Routing | None:
        """How a mixture of experts routes ordinary text, for readings of how far edits have moved that.

        Returns:
            What takes readings, by `read`; None for a model with no experts above the first edited block.
        """
        with self._held():
            return routing(self.model, self.runner, self._structure, self.weights, self.tokenizer)

    # -- keeping -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The edits as they are now, to come back to with `restore` and to look at with `as_of`.

        It is no `state_dict`: it costs no copy, because turns make new tensors and leave these alone, and it lives as
        long as this process does.  A workspace keeps edits in files.

        Returns:
            Shifts, statistics and counters.
        """
        shifts = {w.name: w.shift for w in self.weights}
        return Snapshot(shifts, self.statistics, self.edits, self.turns)

    def restore(self, snapshot: Snapshot) -> None:
        """Put a snapshot back: weights return to the bit.

        Args:
            snapshot: What `snapshot` gave, of an editor with the same model and modules.

        Raises:
            ConfigError: It is no snapshot, or of other modules.
        """
        self._require_awake()
        past = check_snapshot(snapshot, self.weights)
        with self._held(), self._all_or_nothing():
            for w in self.weights:
                w.set_shift(past.shifts[w.name])
            self.statistics, self.edits, self.turns = past.statistics, past.edits, past.turns

    def reset(self) -> None:
        """Undo everything: the unedited model, with empty statistics."""
        self._require_awake()
        with self._held(), self._all_or_nothing():
            for w in self.weights:
                w.set_shift(torch.zeros_like(w.shift))
            self.statistics = self.engine.start()
            self.edits = self.turns = 0

    def notes(self) -> Notes:
        """What there is to say of the live model beside its weights.

        Returns:
            What a saved folder's `ultraedit.json` holds.
        """
        return notes_of(self)

    def save_pretrained(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the edited model as a plain checkpoint that transformers loads alone.

        A PEFT adapter is merged into what is saved; the live model keeps it beside its weights.

        Args:
            folder: Where it goes.
            overwrite: Replace what the folder holds.

        Returns:
            The folder.

        Raises:
            ConfigError: The folder holds something and `overwrite` is off, or holds the base, or cannot be written;
                nothing is half written.
        """
        target = arguments.place(folder, "the folder")
        require_whole(self.model, self.base)
        if not self.method.writes_weights:
            raise ConfigError(
                f'"{self.method.name}" keeps its edits beside the model, so a saved folder would hold none of them; '
                "keep them in a workspace (ultraedit init --preset), or edit with a preset that writes weights."
            )
        originals = fingerprint((plain_name(w.name), w.original) for w in self.weights)
        notes = self.notes().model_copy(update={"originals": originals})
        return save_model(self.model, self.tokenizer, target, notes, overwrite)
