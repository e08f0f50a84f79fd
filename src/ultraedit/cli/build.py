"""`ultraedit build`: triples into an editing benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ultraedit.cli.common import ConfigOption, JsonOption, SeedOption
from ultraedit.cli.screen import bar_width, console, print_json, say
from ultraedit.extras import require

if TYPE_CHECKING:
    from ultraeditbench import BuildResult


class _Shown:
    """Progress for people: a bar on a terminal, nothing elsewhere."""

    def __init__(self, quiet: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        screen = console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width(screen)),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.bar = Progress(*columns, console=screen, disable=quiet or not screen.is_terminal)
        self._task = self.bar.add_task("starting", total=None)

    def stage(self, text: str) -> None:
        """A new stage begins."""
        self.bar.update(self._task, description=text)

    def records(self, done: int, total: int) -> None:
        """`done` more records are written of `total` asked for."""
        self.bar.update(self._task, advance=done, total=total)


def _tell(result: BuildResult, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(result) | {"out": str(result.out)})
        return
    splits = ", ".join(f"{name} {n:,}" for name, n in result.splits.items())
    say(
        f"{result.records:,} records over {result.relations:,} relations in {result.out} "
        f"({splits})."
    )
    say(f"The card is {result.out / 'README.md'}.")


def build(  # noqa: PLR0913 - each option is a parameter
    triples: Annotated[
        list[Path],
        typer.Option(
            "--triples",
            metavar="FILE...",
            help="Files of triples and of labels, their form told from their content.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to make; a stopped build goes on.")
    ],
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="Further files of --triples.", hidden=True),
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Most records to write.")] = 2_000_000,
    kind: Annotated[
        Literal["new", "counterfact", "update"],
        typer.Option(
            "--kind", help="Targets: true, untrue of the same class, or of what changes over time."
        ),
    ] = "new",
    seed: SeedOption = 0,
    conflicts: Annotated[
        float, typer.Option("--conflicts", help="Share of edits that a contradicting one follows.")
    ] = 0.0,
    dev: Annotated[float, typer.Option("--dev", help="Share of subjects in the dev split.")] = 0.05,
    eval_share: Annotated[
        float, typer.Option("--eval", help="Share of subjects in the eval split.")
    ] = 0.1,
    published_json: Annotated[
        bool, typer.Option("--published-json", help="Also write the published JSON form.")
    ] = False,
    rewrite: Annotated[
        str | None,
        typer.Option(
            "--rewrite",
            metavar="URL|DIR",
            help="OpenAI-compatible server or local model that rewords the rephrases.",
        ),
    ] = None,
    rewrite_model: Annotated[
        str | None, typer.Option("--rewrite-model", help="Name of the model on that server.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="A sentence for the head of the card.")] = "",
    memory: Annotated[
        str, typer.Option("--memory", help="Limit of the tables in memory; more goes to disk.")
    ] = "3GB",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads to use.")] = 2,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Build an editing benchmark from triples: questions, rephrases, probes, a card."""
    require("`ultraedit build`", "build")
    from ultraeditbench import BuildConfig
    from ultraeditbench import build as run

    settings = BuildConfig(
        triples=(*triples, *(more or ())), out=out, size=size, kind=kind,
        seed=seed, conflicts=conflicts, dev=dev, eval=eval_share, memory=memory, threads=threads,
        rewrite=rewrite, rewrite_model=rewrite_model, published_json=published_json, note=note,
    )  # fmt: skip
    shown = _Shown(quiet=as_json)
    with shown.bar:
        result = run(settings, shown)
    _tell(result, as_json)
