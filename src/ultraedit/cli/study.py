"""`ultraedit study`: tune a grid of settings on some rows, report the best on others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ultraedit.cli.common import JsonOption, seed_all
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import note, print_json
from ultraedit.settings import Loading


@with_options(without=("dtype", "quantize"), loading=Loading())
def study(
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="A YAML file: what is tried.")],
    data: Annotated[
        str,
        typer.Option("--data", metavar="FILE", help="Facts; GRID names the rows of each part."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for results.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away the study that --out holds.")
    ] = False,
    *,
    loading: Loading,
    json_output: JsonOption = False,
) -> None:
    """Run a grid of settings on development rows, and the best of them on rows that share nothing with those.

    DIR gets table.csv, table.md, development.png and report.png (and SVG), and a benchmark's folder for each part.
    Started again it goes on.
    """
    from ultraedit.bench.study import read_grid, run_study
    from ultraedit.bench.study_outputs import write_study
    from ultraedit.cli.bench_progress import watching

    wanted = read_grid(grid)
    seed_all(wanted.seed)
    with watching(json_output) as observer:
        found = run_study(
            wanted,
            data,
            out,
            observer,
            loading=loading,
            overwrite=overwrite,
        )
    write_study(out, found)
    if json_output:
        print_json(
            {
                "development": [run.preset for run in found.development.runs],
                "report": [] if found.report is None else [r.preset for r in found.report.runs],
                "unfinished": list(found.unfinished),
                "refused": found.refused,
                "out": str(out),
            }
        )
        return
    typer.echo((out / "table.md").read_text(encoding="utf-8"))
    if found.unfinished:
        note(f"not run within the budget: {', '.join(found.unfinished)}; start again to go on")
