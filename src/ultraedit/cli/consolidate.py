"""`ultraedit consolidate WORKSPACE`: writes again what the model has lost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.cli.common import JsonOption, TurnSizeOption, repeated_warnings
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import note, print_json, say
from ultraedit.cli.workspaces import BaseOption, WorkspaceArgument, opened
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from ultraedit.workspace.consolidate import Round
    from ultraedit.workspace.workspace import Workspace

ROUNDS = 5


@with_options(without=("dtype", "quantize"), loading=Loading())
def consolidate(
    workspace: WorkspaceArgument,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds at most.")] = ROUNDS,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Begin no round after so many minutes."),
    ] = None,
    turn_size: TurnSizeOption = 100,
    base: BaseOption = None,
    *,
    loading: Loading,
    json_output: JsonOption = False,
) -> None:
    """Ask the journal which edits the model has lost, and write those again.

    Goes on until none is lost or nothing more is won. Every round is in the journal and can be undone.
    """
    with opened(workspace, base, loading) as live, repeated_warnings():
        done = consolidated(live, rounds, minutes, turn_size, quiet=json_output)
        head = live.head
    if json_output:
        print_json({"head": head, "rounds": [_row(r) for r in done]})
        return
    if not done:
        say(f"no edit is lost; {workspace} stays at turn {head}")
        return
    say(
        f"{done[-1].still_lost:,} of {done[-1].asked:,} edits lost; {workspace} stands at turn {head}"
    )


def consolidated(
    live: Workspace, rounds: int, minutes: float | None, turn_size: int, *, quiet: bool
) -> list[Round]:
    """Consolidate, telling of each round as it ends."""
    from ultraedit.workspace.consolidate import consolidate as consolidating

    done: list[Round] = []
    for found in consolidating(live, rounds=rounds, minutes=minutes, turn_size=turn_size):
        done.append(found)
        if not quiet:
            note(str(found))
    return done


def _row(found: Round) -> dict[str, object]:
    health = None if found.health is None else found.health.model_dump(mode="json")
    return {**asdict(found), "health": health}
