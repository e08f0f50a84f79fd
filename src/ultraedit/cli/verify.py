"""`ultraedit verify WORKSPACE`: is every byte what was written?"""

from __future__ import annotations

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.screen import print_json, say
from ultraedit.cli.workspaces import BaseOption, WorkspaceArgument


def verify(
    workspace: WorkspaceArgument, base: BaseOption = None, json_output: JsonOption = False
) -> None:
    """Compare every file of a workspace, and its base model, with their digests.

    Exits with 0 if all is sound and with 1 if anything is damaged.
    """
    from dataclasses import asdict

    from ultraedit.workspace.verify import verify as check

    found = check(workspace, base)
    if json_output:
        print_json(asdict(found) | {"sound": found.sound})
    else:
        for finding in found.findings:
            say(str(finding))
        state = "sound" if found.sound else "DAMAGED"
        say(
            f"{workspace}: {state}; {found.files} files, {found.bytes / 1e6:,.1f} MB, {found.turns:,} turns, "
            f"{found.edits:,} edits checked"
        )
    if not found.sound:
        raise typer.Exit(1)
