"""`ultraedit rollback WORKSPACE --to MARK`: stand at an earlier state again."""

from __future__ import annotations

from typing import Annotated

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
from ultraedit.settings import Loading


@with_options(without=("dtype", "quantize"), loading=Loading())
def rollback(
    workspace: WorkspaceArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="MARK", help="A mark, a turn's number, or 'base'.")
    ],
    server: ServerOption = None,
    base: BaseOption = None,
    *,
    loading: Loading,
    json_output: JsonOption = False,
) -> None:
    """Go back to a mark, a turn or the base, exact to the bit."""
    if server is not None:
        from ultraedit.cli import at_server

        at_server.rollback(workspace, server, to, base, json_output)
        return
    from ultraedit.workspace import changes

    with opened(workspace, base, loading) as live:
        change = changes.rollback(live, to)
    print_change(change, json_output)
