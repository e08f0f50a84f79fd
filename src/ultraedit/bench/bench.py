"""A whole benchmark: the unedited model first, then every row in every order, then the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ultraedit.arguments import names
from ultraedit.bench.chat import ask_unedited, make_measure
from ultraedit.bench.config import Config
from ultraedit.bench.outputs import begin, check, now, title, write_outputs
from ultraedit.bench.run import ChatSetting, Setting, make_editor, run_once
from ultraedit.bench.schedule import (
    MethodSpec,
    checkpoint_times,
    require_extras,
)
from ultraedit.bench.scoring import parse_tasks
from ultraedit.bench.store import BenchStore, TurnPoint
from ultraedit.bench.stream import Stream, open_stream, source_digest, warm_up_stream
from ultraedit.data.read import read_records
from ultraedit.extras import require
from ultraedit.io.digest import sha256_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.data.record import Record
    from ultraedit.editing.editor import Editor
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.evaluator import Evaluator
    from ultraedit.evaluation.intervals import Figure
    from ultraedit.evaluation.schema import Result, Run
    from ultraedit.model.form import PromptForm


class Observer(Protocol):
    """Watches a benchmark go by."""

    def stage(self, text: str) -> None:
        """Something slow begins."""
        ...

    def run(self, label: str, order: int, edits: int) -> None:
        """A run of `edits` edits begins, or goes on."""
        ...

    def turn(self, point: TurnPoint) -> None: ...


def run_bench(
    config: Config,
    out: Path,
    observer: Observer,
    *,
    overwrite: bool = False,
    proceed: Callable[[], bool] = lambda: True,
) -> Result:
    """Run what is not done yet and write `out`; a finished one with the same settings is read back.

    `proceed` is asked before each run.  Once it says no, what is done so far comes back, nothing but the state is
    written, and the same call goes on later.
    Raises ConfigError where `out` holds something else, and DataError, ModelError for unusable input.
    """
    from ultraedit.model.context import context_length
    from ultraedit.model.load import load
    from ultraedit.model.text import resolve_form

    rows = config.rows()
    tasks = parse_tasks(config.scoring.ability)
    read_records(config.data)  # refuses at once what cannot be read at all
    digest = source_digest(config.data)
    finished = check(out, config.as_dict(), digest, overwrite)
    if finished is not None:
        return finished
    require("a benchmark", "bench")
    require_extras(rows, tasks)
    observer.stage("loading the model")
    keep = [name for row in rows for name in names(row.chosen)]
    model, tokenizer = load(config.model, **asdict(config.loading), keep=keep)
    form = resolve_form(tokenizer, config.settings.form)
    observer.stage("reading the data")
    context = context_length(model, tokenizer)
    stream = open_stream(config.data, config.edits, tokenizer, form, context)
    warm_up = warm_up_stream(config, rows, stream, tokenizer, form, context)
    times = checkpoint_times(stream.edits, config.turn_size, config.checkpoints)
    scored = stream.scored(times, config.scoring.score, config.seed)
    evaluator = _evaluator(model, tokenizer, rows, config, form)
    measure = make_measure(
        config.scoring.chat,
        model,
        tokenizer,
        form=form,
        generate=config.scoring.generate,
        seed=config.seed,
        scorer=evaluator.scorer,
    )
    begin(out, config.as_dict(), overwrite)
    observer.stage(f"asking the unedited model about {len(scored):,} records")
    store = BenchStore(out, fingerprint(config, digest))

    def measure_ability() -> dict[str, Figure]:
        return config.scoring.measure_ability(model, tokenizer, form, config.seed)

    setting = Setting(
        stream=stream,
        scored=scored,
        times=times,
        turn_size=config.turn_size,
        seed=config.seed,
        evaluator=evaluator,
        baseline=evaluator.baseline([record for _, record in scored], drift()),
        store=store,
        ability=measure_ability if tasks else None,
        chat=_chat(measure, [record for _, record in scored], observer),
        warm_up=warm_up,
    )
    unedited_ability: dict[str, Figure] = {}
    if tasks:
        observer.stage("running the ability tasks on the unedited model")
        unedited_ability = store.remembered("unedited-ability", measure_ability)
    runs, turns = _runs(setting, model, tokenizer, rows, config, observer, proceed)
    result = _result(config, model, stream, digest, setting, runs, unedited_ability)
    if len(runs) == len(rows) * config.orders:
        write_outputs(out, result, setting.baseline, turns)
        setting.store.clear()
    return result


def _chat(
    measure: ChatMeasure | None, records: list[Record], observer: Observer
) -> ChatSetting | None:
    """The unedited model's chat, asked before the first edit."""
    if measure is None:
        return None
    return ChatSetting(measure, ask_unedited(measure, records, observer.stage), records)


def _runs(
    setting: Setting,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[MethodSpec],
    config: Config,
    observer: Observer,
    proceed: Callable[[], bool],
) -> tuple[list[Run], list[tuple[str, int, list[TurnPoint]]]]:
    runs: list[Run] = []
    turns: list[tuple[str, int, list[TurnPoint]]] = []
    for row in rows:
        editor: Editor | None = None
        for order in range(config.orders):
            done = setting.store.finished(row.label, order)
            if done is None:
                if not proceed():
                    continue
                if editor is None:
                    observer.stage(f"preparing {row.label}")
                    editor = make_editor(row, model, tokenizer, config.settings, config.model)
                observer.run(row.label, order, setting.stream.edits)
                run_once(setting, editor, row, order, observer.turn, observer.stage)
                done = setting.store.finished(row.label, order)
                assert done is not None
            runs.append(done[0])
            turns.append((row.label, order, done[1]))
    return runs, turns


def _evaluator(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[MethodSpec],
    config: Config,
    form: PromptForm,
) -> Evaluator:
    """One evaluator for all rows: its frozen trunk ends below the lowest block that any of them edits."""
    from ultraedit.evaluation.evaluator import Evaluator
    from ultraedit.evaluation.frozen import FrozenScorer
    from ultraedit.model.check import check_split
    from ultraedit.model.context import context_length
    from ultraedit.model.find import find_structure
    from ultraedit.model.select import select_projections
    from ultraedit.model.stack import Stack

    structure = find_structure(model)
    first = min(p.block for row in rows for p in select_projections(model, structure, row.chosen))
    stack = Stack(model, structure, first)
    check_split(stack)
    protocol = config.scoring.protocol(form, context_length(model, tokenizer), config.seed)
    return Evaluator(model, tokenizer, protocol, scorer=FrozenScorer(stack))


def _result(
    config: Config,
    model: PreTrainedModel,
    stream: Stream,
    digest: str | None,
    setting: Setting,
    runs: list[Run],
    unedited_ability: dict[str, Figure],
) -> Result:
    from ultraedit.evaluation.chat.summary import named
    from ultraedit.evaluation.environment import hardware, model_info, versions
    from ultraedit.evaluation.highlights import checkpoint
    from ultraedit.evaluation.schema import DataInfo, Result

    counts = {
        "records scored": len(setting.scored),
        "rows unusable": stream.unusable,
        "records too long": stream.too_long,
        "records superseded": len(stream.superseded),
    }
    unedited = checkpoint(setting.baseline.evaluation, setting.evaluator.protocol)
    for run in runs:
        if run.chat is not None:
            unedited.figures.update(named(run.chat.unedited))
    return Result(
        kind="bench",
        title=title(config.data, stream.edits, config.model),
        created=now(),
        model=model_info(model, config.model),
        data=DataInfo(
            name=Path(config.data).name,
            form=stream.form,
            rows=stream.rows,
            edits=stream.edits,
            sha256=digest,
        ),
        protocol=setting.evaluator.protocol,
        config=config.as_dict() | counts,
        versions=versions(),
        hardware=hardware(model),
        unedited=unedited,
        unedited_ability=unedited_ability,
        runs=runs,
    )


def fingerprint(config: Config, digest: str | None) -> str:
    """Names settings and data, so that a resume never mixes two benchmarks."""
    text = json.dumps([config.as_dict(), digest], sort_keys=True)
    return sha256_text(text)


def drift() -> str:
    """The text on which drift is measured."""
    from ultraedit.data.bundled import drift_text

    return drift_text()
