"""`ultraedit mark WORKSPACE NAME`: a name for a state."""

from __future__ import annotations

from typing import Annotated

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.screen import print_json, say
from ultraedit.cli.workspaces import ServerOption, WorkspaceArgument, command_line, reading


def mark(
    workspace: WorkspaceArgument,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The mark; without one, marks are listed.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TURN", help="Mark this turn and not the present state."),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the mark instead.")] = False,
    server: ServerOption = None,
    json_output: JsonOption = False,
) -> None:
    """Name a state, to go back to it, ask it or compare with it.

    A marked state stays on disk until the mark is deleted or moved.
    """
    turn = 0
    if server is not None:
        from ultraedit.cli import at_server

        marks, turn = at_server.mark(workspace, server, name, at, delete)
    elif name is None:
        marks = reading(workspace).history.marks
    else:
        from ultraedit.workspace.marks import delete_mark, set_mark
        from ultraedit.workspace.store import Store

        store = Store.open(workspace, write=True, command=command_line())
        try:
            turn = delete_mark(store, name) if delete else set_mark(store, name, at)
            marks = dict(store.history.marks)
        finally:
            store.close()
    if json_output:
        print_json({"marks": marks})
    elif name is None:
        say("\n".join(f"{n}: turn {t}" for n, t in marks.items()) or "no marks")
    else:
        say(f"{name}: {'was turn' if delete else 'turn'} {turn}")
