"""`ultraedit diff WORKSPACE A B`: what lies between two states."""

from __future__ import annotations

from typing import Annotated

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.screen import print_json, say
from ultraedit.cli.workspaces import WorkspaceArgument, edit_dict, edit_line, reading

_STATE = "A mark, a turn's number, 'base' or 'head'."


def diff(
    workspace: WorkspaceArgument,
    a: Annotated[str, typer.Argument(metavar="A", help=_STATE)],
    b: Annotated[str, typer.Argument(metavar="B", help=_STATE)] = "head",
    json_output: JsonOption = False,
) -> None:
    """Compare two states: the edits between them, and how far each module moved."""
    from ultraedit.workspace.difference import difference

    found = difference(reading(workspace), a, b)
    if json_output:
        print_json(
            {
                "a": found.a,
                "b": found.b,
                "added": [edit_dict(e, found.statuses.get(e.edit)) for e in found.added],
                "removed": [edit_dict(e, None) for e in found.removed],
                "moved": found.moved,
            }
        )
        return
    say(f"from turn {found.a} to turn {found.b}:")
    for edit in found.added:
        say("+ " + edit_line(edit, found.statuses.get(edit.edit)))
    for edit in found.removed:
        say("- " + edit_line(edit, None))
    say(f"{len(found.added):,} edits more, {len(found.removed):,} fewer")
    if found.moved is None:
        say("how far the weights moved is not known: one of the states is no longer kept")
        return
    for name, share in found.moved.items():
        say(f"{name}: moved by {share:.3g} of the original weight's size")
