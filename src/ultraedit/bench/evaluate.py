"""Scores an edited model beside its unedited base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.bench.bench import DRIFT_WINDOW, drift
from ultraedit.bench.outputs import begin, check, now, title, write_outputs
from ultraedit.bench.schedule import parse_tasks, require_extras
from ultraedit.bench.stream import open_stream, source_digest
from ultraedit.data.read import read_records
from ultraedit.extras import require

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.bench.pair import ModelPair
    from ultraedit.data.record import Record
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
    score: int = 2000
    generate: int = 200
    ability: tuple[str, ...] = ()
    ability_limit: int | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str = "cpu"
    trust_remote_code: bool = False

    def as_dict(self) -> dict[str, object]:
        found = {key.replace("_", "-"): value for key, value in asdict(self).items()}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in found.items()
            if value is not None and value != ()
        }


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
    from ultraedit.evaluation.environment import hardware, model_info, versions
    from ultraedit.evaluation.evaluator import Evaluator
    from ultraedit.evaluation.highlights import checkpoint, samples, side_effects
    from ultraedit.evaluation.protocol import FAMILIES, Protocol
    from ultraedit.evaluation.schema import DataInfo, Result, Run
    from ultraedit.model.context import context_length

    tasks = parse_tasks(config.ability)
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
        chosen = stream.scored((stream.edits,), config.score, config.seed)
        records, positions = [r for _, r in chosen], [i for i, _ in chosen]
        protocol = Protocol(
            form=form,
            generate=FAMILIES if config.generate else (),
            generated_records=config.generate or None,
            drift_window=min(DRIFT_WINDOW, context_length(model)),
            seed=config.seed,
        )
        stage(f"asking the unedited model about {len(records):,} records")
        baseline = Evaluator(model, tokenizer, protocol).baseline(records, drift())
        unedited_ability = _ability(config, model, tokenizer, tasks, form, stage)
        del model
    stage("loading the edited model")
    with pair.edited() as (model, tokenizer):
        stage(f"asking the edited model about {len(records):,} records")
        evaluation = Evaluator(model, tokenizer, protocol).evaluate(
            records, baseline, edits=stream.edits, positions=positions
        )
        edited_ability = _ability(config, model, tokenizer, tasks, form, stage)
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


def _ability(
    config: EvalConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: dict[str, Path | None],
    form: PromptForm,
    stage: Callable[[str], None],
) -> dict[str, Figure]:
    if not tasks:
        return {}
    from ultraedit.evaluation.ability import ability

    stage("running the ability tasks")
    return ability(
        model, tokenizer, tasks, limit=config.ability_limit, chat=form == "chat", seed=config.seed
    )


def _form(config: EvalConfig, pair: ModelPair, tokenizer: PreTrainedTokenizerBase) -> PromptForm:
    """`auto` is the form in which the model was edited, where it says so."""
    from ultraedit.model.text import resolve_form

    noted = pair.notes().get("format")
    wanted = noted if config.form == "auto" and noted in ("raw", "chat") else config.form
    return resolve_form(tokenizer, wanted)
