"""`ultraedit bench`: stream edits, score them as they age, beside the unedited model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.cli.common import (
    ConfigOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelArgument,
    SeedOption,
    TrustOption,
    seed_all,
)
from ultraedit.cli.screen import note, print_json, say
from ultraedit.model.form import FormChoice

if TYPE_CHECKING:
    from ultraedit.bench.require import Requirement
    from ultraedit.evaluation.schema import Result

DataOption = Annotated[
    str,
    typer.Option(
        "--data", metavar="FILE", help="A file, a folder of Parquet shards, or hf:owner/name:split."
    ),
]
RequireOption = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="FIGURE=VALUE",
        help="Exit with 1 unless the final figure reaches this, as efficacy.token_accuracy=0.6; may be repeated.",
    ),
]
ScoreOption = Annotated[
    int, typer.Option("--score", min=1, help="Records asked about, at most; a sample by seed.")
]
GenerateOption = Annotated[
    int, typer.Option("--generate", min=0, help="Records asked in free generation, at most.")
]
AbilityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ability",
        metavar="TASK[=FILE]",
        help="Run a task of lm-evaluation-harness, on local JSON lines if a file is given; may be repeated.",
    ),
]
AbilityLimitOption = Annotated[
    int | None, typer.Option("--ability-limit", min=1, help="Rows of each ability task, at most.")
]


def bench(
    model: ModelArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for results.")],
    edits: Annotated[
        int | None,
        typer.Option("--edits", min=1, help="Records to edit, from the first on.  [default: all]"),
    ] = None,
    turn_size: Annotated[
        int, typer.Option("--turn-size", min=1, help="Edits written together.")
    ] = 100,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="NAME[:KEY=VALUE,...]",
            help="default, thorough, fast, paper or stableedit, with settings: paper:step=1e-3; repeat for more rows.  "
            "[default: default]",
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="NAME[:KEY=VALUE,...]",
            help="finetune, lora, memit, alphaedit or retrieval, with settings; repeat for more rows.",
        ),
    ] = None,
    step: Annotated[
        float | None, typer.Option("--step", help="Step of every preset that is not published.")
    ] = None,
    eta: Annotated[
        float | None, typer.Option("--eta", help="Step of every published preset (paper).")
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option("--modules", help="auto, paper, a name or a glob; may be repeated."),
    ] = None,
    warm_up: Annotated[
        str | None,
        typer.Option(
            "--warm-up",
            metavar="FILE",
            help="Records that stableedit edits before the stream; none may share a prompt or subject with --data.",
        ),
    ] = None,
    checkpoints: Annotated[
        str,
        typer.Option(
            "--checkpoints",
            metavar="N|N,N,...",
            help="How many times all is scored, or after how many edits: 1000,5000,20000.",
        ),
    ] = "5",
    orders: Annotated[
        int, typer.Option("--orders", min=1, help="The file's own order, then shuffles by seed.")
    ] = 1,
    form: Annotated[
        FormChoice,
        typer.Option("--form", help="Form of edits and questions; the literature's is raw."),
    ] = "raw",
    score: ScoreOption = 2000,
    generate: GenerateOption = 200,
    ability: AbilityOption = None,
    ability_limit: AbilityLimitOption = None,
    require: RequireOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away the benchmark that --out holds.")
    ] = False,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "cpu",
    trust_remote_code: TrustOption = False,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Stream edits into a model and score them as they age, with the unedited model's row beside every row.

    DIR gets result.json, report.html, config.yaml, turns.parquet and scores/.  Started again with the same settings
    it goes on from the last checkpoint.  MODEL itself is never changed.
    """
    from ultraedit.bench.require import parse_requirements

    requirements = parse_requirements(require or [])
    seed_all(seed)
    from ultraedit.bench.bench import Config, run_bench
    from ultraedit.bench.schedule import parse_checkpoints
    from ultraedit.cli.bench_progress import watching

    settings = Config(
        model=model,
        data=data,
        edits=edits,
        turn_size=turn_size,
        preset=tuple(preset or ([] if baseline else ["default"])),
        baseline=tuple(baseline or ()),
        step=step,
        eta=eta,
        modules=tuple(modules or ()),
        warm_up=warm_up,
        checkpoints=parse_checkpoints(checkpoints),
        orders=orders,
        form=form,
        score=score,
        generate=generate,
        ability=tuple(ability or ()),
        ability_limit=ability_limit,
        seed=seed,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    with watching(json_output) as observer:
        result = run_bench(settings, out, observer, overwrite=overwrite)
    finish(result, out, requirements, json_output)


def finish(
    result: Result, out: Path | None, requirements: list[Requirement], json_output: bool
) -> None:
    """Print the outcome; exit with 1 where a requirement is not met."""
    from ultraedit.bench.require import unmet
    from ultraedit.cli.table import needs_lines, score_table, summary

    missed = unmet(result, requirements)
    if json_output:
        print_json(summary(result, None if out is None else str(out), missed))
    else:
        score_table(result).show()
        for line in needs_lines(result):
            say(line)
        for run in result.runs:
            for alarm in run.alarms:
                note(f"alarm: {run.preset}, order {run.order}, {alarm}")
        if out is not None:
            say(f"report: {out / 'report.html'}")
    for sentence in missed:
        note(f"not met: {sentence}")
    if missed:
        raise typer.Exit(1)
