"""`ultraedit export EDITED --to KIND --out PATH`: a workspace or an edited model in a form others can load or serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ultraedit.cli.common import ConfigOption, JsonOption
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import print_json, say
from ultraedit.errors import ConfigError
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from ultraedit.data.record import Record
    from ultraedit.export.edited import Edited
    from ultraedit.export.exporting import Exported
    from ultraedit.export.lora import AdapterReport, Rank


@with_options(without=("dtype", "quantize"), loading=Loading())
def export(  # noqa: PLR0913 - each option is a parameter
    edited: Annotated[
        Path,
        typer.Argument(
            metavar="EDITED", help="A workspace, or a folder that an edited model was saved to."
        ),
    ],
    to: Annotated[
        Literal["merged", "delta", "lora", "gguf-lora", "card"],
        typer.Option("--to", help="What to write; docs/export.md says which for what."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="Folder; for gguf-lora and card a file."),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="MODEL", help="The unedited model, if it is not where it was."
        ),
    ] = None,
    edits: Annotated[
        str | None,
        typer.Option(
            "--edits",
            metavar="FILE",
            help="The edits to measure an adapter on; a workspace has its own.",
        ),
    ] = None,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            metavar="N|full",
            help="Rank of an adapter; full cuts nothing off.  [default: the smallest that gives the same answers]",
        ),
    ] = None,
    keep: Annotated[
        float,
        typer.Option(
            "--keep",
            help="Share of the right answers that an adapter must keep, or it is refused.",
        ),
    ] = 0.9,
    force: Annotated[
        bool, typer.Option("--force", help="Write an adapter that keeps less.")
    ] = False,
    result: Annotated[
        Path | None,
        typer.Option("--result", metavar="FILE", help="A result.json, for the card's scores."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is at --out.")
    ] = False,
    *,
    loading: Loading,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write an edited model as a checkpoint, a delta, an adapter or a card, and say how to serve it.

    An adapter is measured before it is handed out: the base with the written file must still answer --keep of the
    edits that the edited model answers.
    """
    from ultraedit.data import read_records
    from ultraedit.editing.precious import refuse_precious
    from ultraedit.evaluation.files import read_result
    from ultraedit.export import AdapterSettings
    from ultraedit.export import export as write
    from ultraedit.io.target import refuse_occupied, refuse_unwritable

    wanted = _rank(rank)
    if to != "card":  # before minutes of loading
        refuse_precious(out, edited, *([base] if base else []))
        refuse_occupied(out, overwrite)
    refuse_unwritable(out)
    scores = None if result is None else read_result(result)
    given = None if edits is None else read_records(edits)
    live, journal = _open(edited, base, loading)
    records = journal if given is None else list(given)
    done = write(
        live,
        to,
        out,
        records=records,
        adapter=AdapterSettings(wanted, keep, force),
        overwrite=overwrite,
        result=scores,
    )
    if json_output:
        print_json(done.as_dict())
    else:
        say(_text(done))
        if done.serve:
            say("serve it with:")
        for line in done.serve:  # not broken into lines, so that it can be copied
            typer.echo(f"  {line}")


def _rank(text: str | None) -> Rank | None:
    if text is None or text == "full":
        return text  # type: ignore[return-value]
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"--rank '{text}' is neither a number nor full.") from error


def _open(edited: Path, base: str | None, loading: Loading) -> tuple[Edited, list[Record]]:
    """The live model, and the edits in force: a workspace has a journal of them, a saved folder has not."""
    from ultraedit.export import open_folder
    from ultraedit.workspace.config import is_workspace
    from ultraedit.workspace.workspace import Workspace

    where: dict[str, Any] = {
        "device": loading.device,
        "device_map": loading.device_map,
        "trust_remote_code": loading.trust_remote_code,
    }
    if not is_workspace(edited):
        return open_folder(edited, base=base, **where), []
    workspace = Workspace.open(edited, base=base, **where)
    return workspace.editor, workspace.history.in_force()


def _text(done: Exported) -> str:
    lines = [f"{done.path}: {done.kind}, {done.bytes / 1e6:,.1f} MB"]
    if done.adapter is not None:
        lines += _adapter(done.adapter)
    return "\n".join(lines)


def _adapter(report: AdapterReport) -> list[str]:
    e = report.efficacy
    wide = max(len(name) for name in report.energy)
    lines = [
        f"  {name:<{wide}}  keeps {kept:.2%} of the energy" for name, kept in report.energy.items()
    ]
    tried = ", ".join(f"{rank}: {same}" for rank, same in report.tried.items())
    if tried:
        lines.append(f"  ranks tried, and how many of {e.asked} answers are the same: {tried}")
    lines.append(
        f"  rank {report.rank}: of {e.scored:,} edits scored the edited model answers {e.live:,} right, the base with "
        f"this adapter {e.exported:,}, and {e.both:,} of the former ({e.kept:.1%})"
    )
    lines.append(
        f"  generated freely, {e.same} of {e.asked} answers are the edited model's to the letter"
        + ("" if e.same == e.asked else " (merged and delta give all of them)")
    )
    if not report.enough:
        lines.append(
            f"  this is less than the {report.keep:.0%} asked for, and was written because of --force"
        )
    return lines
