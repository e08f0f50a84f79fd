"""`ultraedit show WORKSPACE ID`: all that is known of an edit."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.screen import print_json, say
from ultraedit.cli.workspaces import WorkspaceArgument, edit_dict, reading


def show(
    workspace: WorkspaceArgument,
    edit_id: Annotated[
        str, typer.Argument(metavar="ID", help="An edit's number (17 or '#17') or its record's id.")
    ],
    json_output: JsonOption = False,
) -> None:
    """Show an edit: texts, receipt, turn, settings, what has become of it."""
    store = reading(workspace)
    statuses = store.history.statuses()
    found: list[dict[str, Any]] = []
    for edit in store.history.find_edit(edit_id):
        turn = store.journal.turns[edit.turn]
        found.append(
            edit_dict(edit, statuses.get(edit.edit))
            | {
                "time": turn.time,
                "turn_edits": turn.edits,
                "turn_seconds": turn.seconds,
                "moved": turn.moved,
                "health": turn.health and turn.health.model_dump(mode="json"),
                "source": turn.source and turn.source.name,
                "form": store.config.form,
                "method": store.config.method,
            }
        )
    if json_output:
        print_json({"edits": found})
        return
    for one in found:
        width = max(map(len, one))
        for key, value in one.items():
            if value not in (None, [], ()):
                say(f"{key:<{width}}  {value}")
        say("")
