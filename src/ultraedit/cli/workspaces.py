"""What the verbs that work on a workspace share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ultraedit.errors import ConfigError
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from ultraedit.workspace.changes import Change
    from ultraedit.workspace.history import Status
    from ultraedit.workspace.journal import EditRow
    from ultraedit.workspace.store import Store
    from ultraedit.workspace.workspace import Workspace

WorkspaceArgument = Annotated[
    Path, typer.Argument(metavar="WORKSPACE", help="A folder made by `ultraedit init`.")
]
BaseOption = Annotated[
    str | None,
    typer.Option("--base", metavar="MODEL", help="Where the base model lies now, if it was moved."),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="MARK", help="In a workspace: take it as it was at a mark or turn."
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Send the change to the server that holds WORKSPACE (its folder here, or its name there); the key is "
        "taken from ULTRAEDIT_ADMIN_KEY.",
    ),
]


def command_line() -> str:
    """This command as a second writer is told of it."""
    return shlex.join(["ultraedit", *sys.argv[1:]])


def reading(folder: Path) -> Store:
    """Open for reading; loads no model."""
    from ultraedit.workspace.store import Store

    return Store.open(folder)


def opened(folder: Path, base: str | None, loading: Loading, *, write: bool = True) -> Workspace:
    """Open with the model, which is loaded when it is first needed."""
    from ultraedit.workspace.workspace import Workspace

    return Workspace.open(
        folder,
        write=write,
        base=base,
        device=loading.device,
        device_map=loading.device_map,
        trust_remote_code=loading.trust_remote_code,
        command=command_line(),
    )


def short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def edit_line(edit: EditRow, status: Status | None) -> str:
    """One edit in one line of a log."""
    word = "undone" if status is None else str(status)
    learned = "" if edit.learned else ", not learned"
    return (
        f'#{edit.edit}  turn {edit.turn}  {word}  "{short(edit.prompt)}" -> "{short(edit.target, 40)}"  '
        f"p {edit.probability_before:.2g} -> {edit.probability_after:.2g}{learned}"
    )


def edit_dict(edit: EditRow, status: Status | None) -> dict[str, Any]:
    """One edit for --json."""
    found = edit.model_dump(mode="json")
    found["status"] = "undone" if status is None else status.word
    if status is not None and status.by is not None:
        found["superseded_by_edit"] = status.by
    return found


def print_change(change: Change, json_output: bool) -> None:
    from dataclasses import asdict

    from ultraedit.cli.screen import print_json, say

    if json_output:
        print_json(asdict(change))
    else:
        say(str(change))


def refuse_fixed(folder: str, given: dict[str, Any]) -> None:
    """Settings that `init` fixed, or that make no sense here, are not silently ignored."""
    for option, value in given.items():
        if value:
            raise ConfigError(
                f"--{option} does not go with the workspace '{folder}': its settings were fixed by `ultraedit init` "
                "and its edits stay in it; leave the option out."
            )


def refuse_elsewhere(model: str, given: dict[str, Any]) -> None:
    """Options that only a workspace understands."""
    for option, value in given.items():
        if value:
            shown = f"--{option}" if value is True else f"--{option} {value}"
            raise ConfigError(f"{shown} is for a workspace, and '{model}' is none; leave it out.")
