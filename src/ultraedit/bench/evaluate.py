"""Scores an edited model beside its unedited base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.bench.bench import drift
from ultraedit.bench.chat import ask_edited, ask_unedited, make_measure
from ultraedit.bench.outputs import begin, check, now, title, write_outputs
from ultraedit.bench.schedule import require_extras
from ultraedit.bench.scoring import Scoring, as_options, parse_tasks
from ultraedit.bench.stream import open_stream, source_digest
from ultraedit.data.read import read_records
from ultraedit.extras import require
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.bench.pair import ModelPair
    from ultraedit.data.record import Record
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.intervals import Figure
    from ultraedit.evaluation.schema import Result
    from ultraedit.model.form import FormChoice, PromptForm


@dataclass(frozen=True)
class EvalConfig:
    """The settings of an evaluation; names are those of the command's options."""

    model: str
    data: str | None
    """None where the edits themselves are asked about."""
    base: str | None
    """None is the one that `model` names."""
    at: str | None = None
    """Turn of a workspace."""
    edits: int | None = None
    form: FormChoice = "auto"
    scoring: Scoring = field(default_factory=Scoring)
    seed: int = 0
    loading: Loading = field(default_factory=Loading)

    def as_dict(self) -> dict[str, object]:
        """Plain values under the option names; what is None is left out."""
        return as_options(self, self.scoring, self.loading, without=("scoring", "loading"))


def run_eval(
    config: EvalConfig,
    pair: ModelPair,
    source: str | Sequence[Record],
    out: Path | None,
    stage: Callable[[str], None],
    *,
    overwrite: bool = False,
) -> Result:
    """Ask both of `pair` about the records of `source`, and write `out` if there is one.

    Raises ConfigError where `out` holds something else, and DataError, ModelError for unusable input.
    """
    from ultraedit.evaluation.chat.summary import chat_part, named
    from ultraedit.evaluation.environment import hardware, model_info, versions
    from ultraedit.evaluation.evaluator import Evaluator
    from ultraedit.evaluation.highlights import checkpoint, samples, side_effects
    from ultraedit.evaluation.schema import DataInfo, Result, Run
    from ultraedit.model.context import context_length

    tasks = parse_tasks(config.scoring.ability)
    read_records(source)  # refuses at once what cannot be read at all
    digest = source_digest(source)
    name = "journal" if config.data is None else config.data
    if out is not None:
        finished = check(out, config.as_dict(), digest, overwrite)
        if finished is not None:
            return finished
        require("an evaluation with --out", "bench")
    require_extras((), tasks)
    stage("loading the base model")
    with pair.base() as (model, tokenizer):
        form = _form(config, pair, tokenizer)
        stream = open_stream(
            source, config.edits, tokenizer, form, context_length(model, tokenizer)
        )
        chosen = stream.scored((stream.edits,), config.scoring.score, config.seed)
        records, positions = [r for _, r in chosen], [i for i, _ in chosen]
        protocol = config.scoring.protocol(form, context_length(model, tokenizer), config.seed)
        stage(f"asking the unedited model about {len(records):,} records")
        baseline = Evaluator(model, tokenizer, protocol).baseline(records, drift())
        measure = _measure(config, model, tokenizer, form)
        unedited = None if measure is None else ask_unedited(measure, records, stage)
        unedited_ability = _measured(config, model, tokenizer, form, stage)
        del model, measure
    stage("loading the edited model")
    with pair.edited() as (model, tokenizer):
        stage(f"asking the edited model about {len(records):,} records")
        evaluation = Evaluator(model, tokenizer, protocol).evaluate(
            records, baseline, edits=stream.edits, positions=positions
        )
        chat = None
        if unedited is not None and (measure := _measure(config, model, tokenizer, form)):
            recent = max(stream.edits - measure.protocol.recent, 0)
            newest = list(stream.records(recent))
            scores = ask_edited(measure, unedited, records, stage, newest=newest)
            chat = chat_part(scores)
            baseline.evaluation.figures.update(named(scores.unedited))
            evaluation.figures.update(named(scores.edited))
        edited_ability = _measured(config, model, tokenizer, form, stage)
        described, machine = model_info(model, config.model), hardware(model)
    run = Run(
        preset=Path(config.model).name,
        order=0,
        seed=config.seed,
        settings=pair.notes(),
        checkpoints=[checkpoint(evaluation, protocol)],
        samples=samples(evaluation),
        side_effects=side_effects(evaluation),
        ability=edited_ability,
        chat=chat,
    )
    counts = {
        "records scored": len(records),
        "rows unusable": stream.unusable,
        "records too long": stream.too_long,
        "records superseded": len(stream.superseded),
    }
    result = Result(
        kind="eval",
        title=title(name, stream.edits, config.model),
        created=now(),
        model=described,
        data=DataInfo(
            name=Path(name).name,
            form=stream.form,
            rows=stream.rows,
            edits=stream.edits,
            sha256=digest,
        ),
        protocol=protocol,
        config=config.as_dict() | counts,
        versions=versions(),
        hardware=machine,
        unedited=checkpoint(baseline.evaluation, protocol),
        unedited_ability=unedited_ability,
        runs=[run],
    )
    if out is not None:
        from ultraedit.evaluation.files import write_scores

        begin(out, config.as_dict(), overwrite)
        path = out / "scores" / "edited.parquet"
        write_scores(path, evaluation.rows, preset=run.preset, order=0, edits=stream.edits)
        write_outputs(out, result, baseline, [])
    return result


def _measure(
    config: EvalConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    form: PromptForm,
) -> ChatMeasure | None:
    scoring = config.scoring
    return make_measure(
        scoring.chat, model, tokenizer, form=form, generate=scoring.generate, seed=config.seed
    )


def _measured(
    config: EvalConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    form: PromptForm,
    stage: Callable[[str], None],
) -> dict[str, Figure]:
    if config.scoring.ability:
        stage("running the ability tasks")
    return config.scoring.measure_ability(model, tokenizer, form, config.seed)


def _form(config: EvalConfig, pair: ModelPair, tokenizer: PreTrainedTokenizerBase) -> PromptForm:
    """`auto` is the form in which the model was edited, where it says so."""
    from ultraedit.model.text import resolve_form

    noted = pair.notes().get("format")
    wanted = noted if config.form == "auto" and noted in ("raw", "chat") else config.form
    return resolve_form(tokenizer, wanted)
