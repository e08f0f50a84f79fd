"""One row of the table streamed once, in one order: edit, score at the checkpoints, save, sum up."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import torch

from ultraedit.bench.chat import ask_edited
from ultraedit.bench.schedule import MethodSpec
from ultraedit.bench.store import BenchStore, RunProgress, TurnPoint
from ultraedit.bench.stream import Stream
from ultraedit.data.record import Record
from ultraedit.editing.assemble import SupersededWarning
from ultraedit.editing.editor import Editor
from ultraedit.editing.warm_up import warm_up
from ultraedit.errors import NumericalError
from ultraedit.evaluation.chat.summary import chat_part, named
from ultraedit.evaluation.evaluation import Evaluation
from ultraedit.evaluation.highlights import FOLLOWED, checkpoint, samples, side_effects
from ultraedit.evaluation.retention import retention
from ultraedit.evaluation.schema import Chat, ModuleShift, Pace, Run
from ultraedit.methods.finetune import FineTune
from ultraedit.methods.stableedit import StableEdit
from ultraedit.settings import EditSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.scores import ChatScores
    from ultraedit.evaluation.chat.unedited import UneditedChat
    from ultraedit.evaluation.evaluator import Baseline, Evaluator
    from ultraedit.evaluation.intervals import Figure

SPECTRUM = 32
"""Singular values of a shift that are kept."""
EXACT_SPECTRUM = 2048
"""Widest weight, by its smaller side, whose singular values are computed exactly."""
PERPLEXITY_ALARM = 1.5
REPETITION_ALARM = 0.2

OnTurn = Callable[[TurnPoint], None]


@dataclass(frozen=True)
class ChatSetting:
    """The chat measure that all runs share."""

    measure: ChatMeasure
    unedited: UneditedChat
    records: Sequence[Record]
    """Those that are asked about, if the protocol draws them."""


@dataclass(frozen=True)
class Setting:
    """What all runs of a benchmark share."""

    stream: Stream
    scored: Sequence[tuple[int, Record]]
    """(index in the stream, record) of those asked about."""
    times: tuple[int, ...]
    turn_size: int
    seed: int
    evaluator: Evaluator
    baseline: Baseline
    store: BenchStore
    warm_up: Stream | None = None
    """Written before the stream by a method that whitens."""
    chat: ChatSetting | None = None
    """Asked at the end of each preset's first order."""
    ability: Callable[[], dict[str, Figure]] | None = None
    """Runs the ability tasks on the live model; asked at the end of each preset's first order."""


def make_editor(
    row: MethodSpec,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: EditSettings,
    base: str,
) -> Editor:
    """A fresh editor of one row; `settings` are those of every row."""
    own = EditSettings(
        preset=row.method,
        modules=row.modules,
        form=settings.form,
        micro_batch=settings.micro_batch,
        text=settings.text,
    )
    return Editor(model, tokenizer, own, base=base)


def run_once(
    setting: Setting,
    editor: Editor,
    row: MethodSpec,
    order: int,
    on_turn: OnTurn,
    say: Callable[[str], None],
) -> Run:
    """Stream into `editor`, which must be fresh, from the last checkpoint on if there is one.

    The model is put back to its original weights at the end, and on any error.
    """
    places = setting.stream.places(order, setting.seed)
    saved = setting.store.load(row.label, order, editor.engine.load_state_dict)
    progress = RunProgress()
    measured: dict[str, Figure] = {}
    try:
        if saved is not None:
            progress, state = saved
            editor.restore(state)
        elif isinstance(editor.method, StableEdit) and setting.warm_up is not None:
            say("warming up")
            warm_up(editor, setting.warm_up.records(), setting.turn_size)
        evaluations = setting.store.evaluations(row.label, order, progress)
        records = setting.stream.in_order(places, progress.position)
        for time_ in setting.times:
            if time_ <= progress.position:
                continue
            for chunk in _turns(islice(records, time_ - progress.position), setting.turn_size):
                point = _edit(editor, chunk, progress)
                progress.position = point.edits
                progress.turns.append(point)
                on_turn(point)
            recall = None if editor.method.writes_weights else editor.recall
            if _puts_off(editor):
                say(f"settling {time_:,} edits")
                _settle(editor, progress)
            say(f"scoring after {time_:,} edits")
            evaluation = _evaluate(setting, places, time_, recall)
            evaluations.append(evaluation)
            progress.figures[time_] = evaluation.figures
            setting.store.save(row.label, order, progress, editor.snapshot(), evaluation.rows)
        if setting.ability is not None and order == 0:
            say("running the ability tasks")
            measured = setting.ability()
        chat = None
        if setting.chat is not None and order == 0:
            scores = _chat(setting.chat, setting, editor, places, say)
            chat = chat_part(scores)
            evaluations[-1].figures.update(named(scores.edited))
        run = _sum_up(setting, editor, row, order, progress, evaluations, measured, chat)
    finally:
        editor.reset()
    setting.store.finish(row.label, order, run, progress.turns)
    return run


def _turns(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    while chunk := list(islice(records, size)):
        yield chunk


def _puts_off(editor: Editor) -> bool:
    """Whether training waits until the model is asked."""
    return isinstance(editor.method, FineTune)


def _settle(editor: Editor, progress: RunProgress) -> None:
    """What a method puts off until it is asked counts as editing time of the last turn."""
    started = time.perf_counter()
    editor.settle()
    spent = time.perf_counter() - started
    last = progress.turns[-1]
    before = progress.turns[-2] if len(progress.turns) > 1 else None
    edits = last.edits - (before.edits if before else 0)
    seconds = last.seconds - (before.seconds if before else 0.0) + spent
    progress.turns[-1] = replace(
        last,
        seconds=last.seconds + spent,
        edits_per_second=edits / seconds,
        shift_norms=_shift_norms(editor),
    )


def _shift_norms(editor: Editor) -> dict[str, float]:
    return {w.name: float(torch.linalg.vector_norm(w.shift)) for w in editor.weights}


def _edit(editor: Editor, chunk: list[Record], progress: RunProgress) -> TurnPoint:
    """One turn.  A refused one (non-finite numbers; the model is untouched) is recorded as such, and its edits count
    as done: they are scored with all others."""
    import psutil

    started = time.perf_counter()
    refused, receipts = None, ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SupersededWarning)  # the stream has counted them
            if _puts_off(editor):
                editor.take_turn(chunk)
            else:
                receipts = editor.edit_turn(chunk).receipts
    except NumericalError as error:
        refused = str(error)
    seconds = time.perf_counter() - started
    before = progress.turns[-1].seconds if progress.turns else 0.0
    n = max(len(receipts), 1)
    return TurnPoint(
        edits=progress.position + len(chunk),
        seconds=before + seconds,
        edits_per_second=len(chunk) / seconds,
        resident_bytes=psutil.Process().memory_info().rss,
        learned=sum(r.learned for r in receipts),
        probability_before=sum(r.probability_before for r in receipts) / n,
        probability_after=sum(r.probability_after for r in receipts) / n,
        shift_norms=_shift_norms(editor),
        refused=refused,
    )


def _evaluate(
    setting: Setting, places: Sequence[int], edits: int, recall: Callable[[str], str] | None
) -> Evaluation:
    position = {index: p for p, index in enumerate(places[:edits])}
    asked = [(position[i], record) for i, record in setting.scored if i in position]
    return setting.evaluator.evaluate(
        [record for _, record in asked],
        setting.baseline,
        edits=edits,
        positions=[p for p, _ in asked],
        recall=recall,
    )


def _sum_up(
    setting: Setting,
    editor: Editor,
    row: MethodSpec,
    order: int,
    progress: RunProgress,
    evaluations: Sequence[Evaluation],
    measured: dict[str, Figure],
    chat: Chat | None,
) -> Run:
    protocol = setting.evaluator.protocol
    last = evaluations[-1]
    return Run(
        preset=row.label,
        order=order,
        seed=setting.seed,
        settings=row.settings()
        | {
            "turn_size": setting.turn_size,
            "edited": [w.name for w in editor.weights],
            "form": editor.form,
        },
        checkpoints=[checkpoint(e, protocol) for e in evaluations],
        retention=[
            retention(evaluations, family, metric, protocol)
            for family, metric in FOLLOWED
            if all(f"{family}.{metric}" in e.figures for e in evaluations)
        ],
        pace=[
            Pace(
                edits=t.edits,
                seconds=t.seconds,
                edits_per_second=t.edits_per_second,
                resident_bytes=t.resident_bytes,
            )
            for t in progress.turns
        ],
        modules=[
            ModuleShift(
                name=w.name,
                shift_norm=float(torch.linalg.vector_norm(w.shift)),
                relative=w.shift_ratio(),
                spectrum=_spectrum(w.shift),
                history=[t.shift_norms[w.name] / w.norm for t in progress.turns],
            )
            for w in editor.weights
        ],
        samples=samples(last),
        side_effects=side_effects(last),
        ability=measured,
        alarms=alarms(progress, setting.baseline),
        chat=chat,
    )


def _chat(
    chat: ChatSetting,
    setting: Setting,
    editor: Editor,
    places: Sequence[int],
    say: Callable[[str], None],
) -> ChatScores:
    recent = max(setting.stream.edits - chat.measure.protocol.recent, 0)
    return ask_edited(
        chat.measure,
        chat.unedited,
        chat.records,
        say,
        newest=list(setting.stream.in_order(places, recent)),
        recall=None if editor.method.writes_weights else editor.recall,
    )


def _spectrum(shift: torch.Tensor) -> list[float]:
    """Largest singular values; by a seeded randomised method where the matrix is large."""
    if min(shift.shape) <= EXACT_SPECTRUM:
        values = torch.linalg.svdvals(shift)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            values = torch.svd_lowrank(shift, q=min(2 * SPECTRUM, *shift.shape), niter=4)[1]
    return [float(v) for v in values[:SPECTRUM]]


def alarms(progress: RunProgress, baseline: Baseline) -> list[str]:
    """Sentences on what went wrong during a run: refused turns, perplexity, repetition."""
    said = [f"turn ending at {t.edits:,} edits: {t.refused}" for t in progress.turns if t.refused]
    before = baseline.evaluation.figures.get("efficacy.repetition")
    for edits, figures in sorted(progress.figures.items()):
        ratio = figures.get("drift.perplexity_ratio")
        if ratio is not None and ratio.value >= PERPLEXITY_ALARM:
            said.append(
                f"{edits:,} edits: perplexity on ordinary text is {ratio.value:.2f} times the unedited model's"
            )
        now = figures.get("efficacy.repetition")
        if now is not None and before is not None and now.value - before.value > REPETITION_ALARM:
            said.append(
                f"{edits:,} edits: {now.value:.0%} of the trigrams in generated answers are repeats "
                f"({before.value:.0%} unedited)"
            )
    return said
