"""`ultraedit serve WORKSPACE`: answer over HTTP, and be edited meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ultraedit.cli.common import ConfigOption
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import note
from ultraedit.cli.workspaces import BaseOption, WorkspaceArgument, opened
from ultraedit.serving.limits import Limits
from ultraedit.settings import Loading


@with_options(without=("dtype", "quantize"), limits=Limits(), loading=Loading())
def serve(  # noqa: PLR0913 - each option is a parameter
    workspace: WorkspaceArgument,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Its port; 0 takes a free one.")
    ] = 8000,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What the model is called.  [default: the folder's name]"
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            metavar="FILE",
            help="Lines of NAME read|admin KEY.  [default: ULTRAEDIT_API_KEY and ULTRAEDIT_ADMIN_KEY, else new keys]",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="Another name of this server; may be repeated."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="URL",
            help="A web page's origin that may call this server; may be repeated.",
        ),
    ] = None,
    base: BaseOption = None,
    *,
    limits: Limits,
    loading: Loading,
    config: ConfigOption = None,
) -> None:
    """Serve a workspace over HTTP: OpenAI's endpoints, edits while it answers, a page at /.

    Every answer belongs to one version of the weights.  The server holds the workspace's lock for as long as it runs;
    other verbs then take --server URL.
    """
    from ultraedit.extras import require

    require("`ultraedit serve`", "serve")
    from ultraedit.serving.address import check_name, check_origin, is_loopback, url_of
    from ultraedit.serving.keys import Keys

    called = check_name(workspace.resolve().name if name is None else name)
    origins = [check_origin(origin) for origin in allow_origin or []]
    found = Keys.find(keys, os.environ, public=not is_loopback(host))

    from ultraedit.serving.app import build
    from ultraedit.serving.run import listen
    from ultraedit.serving.run import serve as run
    from ultraedit.serving.service import Service

    with opened(workspace, base, loading) as live:
        service = Service(live, called, limits)
        app = build(service, found, hosts=[host, *(allow_host or [])], origins=origins)
        with listen(host, port) as bound:
            url = url_of(host, bound.getsockname()[1])
            live.store.announce(url)

            def up() -> None:
                note(f"{called} is served at {url}; the model is being loaded")
                for level, key in found.printed.items():
                    note(f"{level} key (told this once): {key}")
                if "admin" in found.printed:
                    note(f"open {url}/#key={found.printed['admin']}")
                elif not found.can_write:
                    note("there is no admin key: this server answers and cannot be edited")

            run(app, service, bound, up)
