"""`ultraedit undo WORKSPACE`: the last edits, exactly, or one edit out of the middle."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.options import with_options
from ultraedit.cli.workspaces import (
    BaseOption,
    ServerOption,
    WorkspaceArgument,
    opened,
    print_change,
)
from ultraedit.errors import ConfigError
from ultraedit.settings import Loading


@with_options(without=("dtype", "quantize"), loading=Loading())
def undo(
    workspace: WorkspaceArgument,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Undo this many edits.  [default: 1]")
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option("--edit", metavar="ID", help="Take out this one edit (number or id) instead."),
    ] = None,
    by: Annotated[
        Literal["replay", "subtract"],
        typer.Option(
            "--by",
            help="How --edit goes: replay writes all later edits again (exact); subtract takes its own share out "
            "(instant, approximate).",
        ),
    ] = "replay",
    server: ServerOption = None,
    base: BaseOption = None,
    *,
    loading: Loading,
    json_output: JsonOption = False,
) -> None:
    """Undo the last edits, exact to the bit, or take one edit out.

    Nothing leaves the journal: undone edits stay in the log as undone.
    """
    if last is not None and edit is not None:
        raise ConfigError(
            f"both --last {last} and --edit {edit} are given; undo the last edits or take one out."
        )
    if server is not None:
        from ultraedit.cli import at_server

        at_server.undo(workspace, server, last, edit, by, base, json_output)
        return
    from ultraedit.workspace import changes

    with opened(workspace, base, loading) as live:
        if edit is None:
            change = changes.undo(live, last or 1)
        else:
            row = live.history.find_current(edit)
            take_out = changes.replay if by == "replay" else changes.subtract
            change = take_out(live, row)
    print_change(change, json_output)
