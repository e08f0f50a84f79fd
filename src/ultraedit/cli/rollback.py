"""`ultraedit rollback WORKSPACE --to MARK`: stand at an earlier state again."""

from __future__ import annotations

from typing import Annotated

import typer

from ultraedit.cli.common import DeviceOption, JsonOption, TrustOption
from ultraedit.cli.workspaces import (
    BaseOption,
    ServerOption,
    WorkspaceArgument,
    command_line,
    print_change,
)


def rollback(
    workspace: WorkspaceArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="MARK", help="A mark, a turn's number, or 'base'.")
    ],
    server: ServerOption = None,
    base: BaseOption = None,
    device: DeviceOption = "cpu",
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Go back to a mark, a turn or the base, exact to the bit."""
    if server is not None:
        from ultraedit.cli import at_server

        at_server.rollback(workspace, server, to, base, json_output)
        return
    from ultraedit.workspace import changes
    from ultraedit.workspace.workspace import Workspace

    with Workspace.open(
        workspace,
        write=True,
        base=base,
        device=device,
        trust_remote_code=trust_remote_code,
        command=command_line(),
    ) as opened:
        change = changes.rollback(opened, to)
    print_change(change, json_output)
