"""`ultraedit bench`: stream edits, score them as they age, beside the unedited model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.bench.scoring import Scoring
from ultraedit.cli.common import (
    ConfigOption,
    JsonOption,
    ModelArgument,
    SeedOption,
    TurnSizeOption,
    seed_all,
)
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import note, print_json, say
from ultraedit.settings import EditSettings, Loading

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


@with_options(
    without=("preset",),
    settings=EditSettings(form="raw"),
    scoring=Scoring(),
    loading=Loading(),
)
def bench(  # noqa: PLR0913 - each option is a parameter
    model: ModelArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for results.")],
    edits: Annotated[
        int | None,
        typer.Option("--edits", min=1, help="Records to edit, from the first on.  [default: all]"),
    ] = None,
    turn_size: TurnSizeOption = 100,
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
    eta: Annotated[
        float | None, typer.Option("--eta", help="Step of every published preset (paper).")
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
    *,
    settings: EditSettings,
    scoring: Scoring,
    require: RequireOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away the benchmark that --out holds.")
    ] = False,
    loading: Loading,
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
    from ultraedit.bench.bench import run_bench
    from ultraedit.bench.config import Config
    from ultraedit.bench.schedule import parse_checkpoints
    from ultraedit.cli.bench_progress import watching

    wanted = Config(
        model=model,
        data=data,
        edits=edits,
        turn_size=turn_size,
        preset=tuple(preset or ([] if baseline else ["default"])),
        baseline=tuple(baseline or ()),
        eta=eta,
        warm_up=warm_up,
        checkpoints=parse_checkpoints(checkpoints),
        orders=orders,
        settings=settings,
        scoring=scoring,
        seed=seed,
        loading=loading,
    )
    with watching(json_output) as observer:
        result = run_bench(wanted, out, observer, overwrite=overwrite)
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
