"""`ultraedit push WORKSPACE URL`: edits into a server that runs already, checked, and taken back where it is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ultraedit.cli.common import ConfigOption, JsonOption
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import note, print_json, say
from ultraedit.cli.workspaces import BaseOption, WorkspaceArgument, opened
from ultraedit.errors import ConfigError
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from ultraedit.pushing import Outlook, Pushed


@with_options(without=("dtype", "quantize"), loading=Loading())
def push(  # noqa: PLR0913 - each option is a parameter
    workspace: WorkspaceArgument,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where vLLM, SGLang or llama.cpp answers.")
    ],
    alias: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="A fixed name that is moved to this version."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="MARK", help="Push this mark or turn; an older one takes a push back."
        ),
    ] = None,
    how: Annotated[
        Literal["lora", "weights"],
        typer.Option("--how", help="An adapter beside the server's weights, or new weights."),
    ] = "lora",
    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            metavar="LOCAL[=SERVER]",
            help="Where versions are put, and the path under which the server sees that.  [default: beside WORKSPACE]",
        ),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            "--key-env", metavar="VAR", help="The environment variable with the server's key."
        ),
    ] = None,
    admin_key_env: Annotated[
        str | None,
        typer.Option(
            "--admin-key-env", metavar="VAR", help="The one with its key for changes (SGLang)."
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="Versions that stay on disk and in the server.")
    ] = 3,
    check: Annotated[
        int,
        typer.Option("--check", min=1, help="Questions of each kind: recent, old, unrelated."),
    ] = 8,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what the server lacks and what each rank costs; change nothing."
        ),
    ] = False,
    base: BaseOption = None,
    *,
    loading: Loading,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let a running server answer from a workspace's edits.

    The version gets a folder and a name of its own.  The server is asked about recent edits, old ones and other things,
    and goes back to what it served where its answers are not the workspace's.
    """
    from ultraedit.pushing import Wanted, look
    from ultraedit.pushing import push as run

    wanted = Wanted(
        url,
        how,
        at,
        alias,
        folder,
        _key(key_env, "--key-env"),
        _key(admin_key_env, "--admin-key-env"),
        keep,
        check,
    )
    with opened(workspace, base, loading, write=False) as live:
        if not dry_run:
            done = run(live, wanted, note)
            if json_output:
                print_json(done.as_dict())
            else:
                say(_text(done))
            return
        outlook = look(live, wanted)
    if json_output:
        print_json(outlook.as_dict())
    else:
        say(_outlook(outlook))
    if outlook.lacks or (outlook.base is not None and not outlook.base.holds):
        raise typer.Exit(1)


def _key(variable: str | None, option: str) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"{option} names {variable}, and there is no key in that environment variable; set it."
        )
    return key


def _text(done: Pushed) -> str:
    names = done.name if done.alias is None else f"{done.alias} ({done.name})"
    lines = [f"{done.server} answers from turn {done.turn}: {names}", f"  {done.folder}"]
    for group, found in done.answers.items():
        apart = "" if found.apart is None else f", log probabilities {found.apart:.3f} apart"
        lines.append(
            f"  {group}: {found.agreed} of {found.asked} answers are the workspace's{apart}"
        )
    if done.unloaded:
        lines.append(f"  forgotten by the server: {', '.join(done.unloaded)}")
    if done.removed:
        lines.append(f"  removed: {', '.join(done.removed)}")
    return "\n".join(lines)


def _outlook(outlook: Outlook) -> str:
    lines = [
        f"{outlook.server} serves {outlook.serves}",
        f"turn {outlook.turn} would be put into {outlook.folder} as {outlook.version}",
    ]
    lines += [f"  it lacks {lack}" for lack in outlook.lacks]
    if outlook.base is not None:
        base = outlook.base
        told = "" if base.holds else f": it is another model ({base.first})"
        lines.append(
            f"  {base.agreed} of {base.asked} answers of its own model are the unedited one's{told}"
        )
    if outlook.most_rank is not None:
        lines.append(f"  it takes rank {outlook.most_rank} at most")
    for rank, kept in outlook.energy.items():
        over = outlook.most_rank is not None and rank > outlook.most_rank
        lines.append(
            f"  rank {rank} keeps {kept:.1%} of the edits' energy"
            + (" (more than it takes)" if over else "")
        )
    return "\n".join(lines)
