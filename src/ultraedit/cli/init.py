"""`ultraedit init WORKSPACE --model MODEL`: a folder that remembers every edit."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from ultraedit.cli.common import (
    ConfigOption,
    JsonOption,
    SeedOption,
    seed_all,
)
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import print_json, say
from ultraedit.settings import EditSettings, Loading


@with_options(settings=EditSettings(), loading=Loading())
def init(  # noqa: PLR0913 - each option is a parameter
    workspace: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A new folder for the workspace.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="The base: a folder, a hub id, or 'smollm2'."
        ),
    ],
    *,
    settings: EditSettings,
    undo_window: Annotated[
        int,
        typer.Option(
            "--undo-window",
            min=0,
            help="Turns whose states stay on disk, so that undoing them is a file read.",
        ),
    ] = 10,
    policy: Annotated[
        Literal["warn", "stop", "rollback"],
        typer.Option("--policy", help="What a stream does when its health turns red."),
    ] = "warn",
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a workspace: a journal of every edit, exact undo, crash-safe streams.

    The method's settings are fixed here; the base model itself is never changed.
    """

    settings.method()  # refuses a bad setting before the model is loaded
    seed_all(seed)

    from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
    from ultraedit.workspace.create import create_workspace

    with create_workspace(
        workspace,
        model,
        settings,
        keep=WorkspaceSettings(
            undo_window=undo_window, seed=seed, health=HealthConfig(policy=policy)
        ),
        loading=loading,
    ) as made:
        made_config = made.store.config
    names = [module.name for module in made_config.modules]
    if json_output:
        print_json({"workspace": str(workspace), "model": model, "modules": names})
        return
    say(
        f"{workspace}: {model} as {made_config.base.dtype}, {len(names)} edited modules ({', '.join(names)})"
    )
    # not broken into lines, so that it can be copied
    typer.echo(f'next: ultraedit edit {shlex.quote(str(workspace))} "PROMPT" "TARGET"')
