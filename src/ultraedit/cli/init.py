"""`ultraedit init WORKSPACE --model MODEL`: a folder that remembers every edit."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from ultraedit.cli.common import (
    ConfigOption,
    DeviceOption,
    DtypeOption,
    EndTokenOption,
    FormOption,
    JsonOption,
    MicroBatchOption,
    ModulesOption,
    PresetOption,
    SeedOption,
    StepOption,
    StepsOption,
    TrustOption,
    seed_all,
)
from ultraedit.cli.screen import print_json, say
from ultraedit.defaults import MICRO_BATCH


def init(
    workspace: Annotated[
        Path, typer.Argument(metavar="WORKSPACE", help="A new folder for the workspace.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="The base: a folder, a hub id, or 'smollm2'."
        ),
    ],
    preset: PresetOption = "default",
    modules: ModulesOption = None,
    form: FormOption = "auto",
    step: StepOption = None,
    steps: StepsOption = None,
    end_token: EndTokenOption = None,
    horizon: Annotated[
        float | None,
        typer.Option(
            "--horizon",
            help="Edited tokens after which earlier edits are protected 1/e as much, so that there stays room for new "
            "ones; 0: never.  [default: the preset's]",
        ),
    ] = None,
    micro_batch: MicroBatchOption = MICRO_BATCH,
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
    dtype: DtypeOption = "auto",
    device: DeviceOption = "cpu",
    trust_remote_code: TrustOption = False,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a workspace: a journal of every edit, exact undo, crash-safe streams.

    The method's settings are fixed here; the base model itself is never changed.
    """

    # refuses a bad setting before the model is loaded
    from ultraedit.methods.presets import method

    how = method(preset, step=step, steps=steps, end_token=end_token, horizon=horizon)
    seed_all(seed)

    from ultraedit.workspace.config import HealthConfig
    from ultraedit.workspace.create import create_workspace

    with create_workspace(
        workspace,
        model,
        preset=how,
        modules=modules or None,
        form=form,
        micro_batch=micro_batch,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        seed=seed,
        undo_window=undo_window,
        health=HealthConfig(policy=policy),
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
