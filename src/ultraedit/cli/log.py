"""`ultraedit log WORKSPACE`: every edit ever, and what has become of it."""

from __future__ import annotations

from typing import Annotated

import typer

from ultraedit.cli.common import JsonOption
from ultraedit.cli.screen import print_json, say
from ultraedit.cli.workspaces import WorkspaceArgument, edit_dict, edit_line, reading


def log(
    workspace: WorkspaceArgument,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Edits to list; 0 for all.")] = 20,
    json_output: JsonOption = False,
) -> None:
    """List edits, newest first: number, turn, what has become of it, texts, probability.

    "current", "superseded by #n" (the prompt was given another answer later), "repeated by #n", "removed"
    (subtracted) or "undone".
    """
    from itertools import islice

    store = reading(workspace)
    history = store.history
    statuses = history.statuses()
    rows = (
        edit
        for turn in reversed(store.journal.turns)
        for edit in reversed(list(store.journal.rows(turn)))
    )
    listed = list(islice(rows, limit or None))
    if json_output:
        print_json(
            {
                "head": history.head,
                "edits_ever": store.journal.edits,
                "edits_in_force": sum(s.word == "current" for s in statuses.values()),
                "marks": history.marks,
                "edits": [edit_dict(edit, statuses.get(edit.edit)) for edit in listed],
            }
        )
        return
    in_force = sum(s.word == "current" for s in statuses.values())
    say(
        f"{store.journal.edits:,} edits ever, {in_force:,} in force; at turn {history.head} of "
        f"{len(store.journal.turns)}"
    )
    for name, turn in history.marks.items():
        say(f"mark {name}: turn {turn}")
    for edit in listed:
        say(edit_line(edit, statuses.get(edit.edit)))
    if len(listed) < store.journal.edits:
        say(f"... {store.journal.edits - len(listed):,} older ones (--limit 0 lists all)")
