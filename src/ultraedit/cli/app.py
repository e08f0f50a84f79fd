"""The command line `ultraedit`: the table of verbs, and how errors become one sentence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from ultraedit import __version__
from ultraedit.cli.ask import ask
from ultraedit.cli.bench import bench
from ultraedit.cli.build import build
from ultraedit.cli.consolidate import consolidate
from ultraedit.cli.demo import demo
from ultraedit.cli.diff import diff
from ultraedit.cli.edit import edit
from ultraedit.cli.eval import eval_
from ultraedit.cli.export import export
from ultraedit.cli.init import init
from ultraedit.cli.log import log
from ultraedit.cli.mark import mark
from ultraedit.cli.plan import plan
from ultraedit.cli.prepare import prepare
from ultraedit.cli.push import push
from ultraedit.cli.rollback import rollback
from ultraedit.cli.screen import refuse, show_warning, write_anything
from ultraedit.cli.serve import serve
from ultraedit.cli.show import show
from ultraedit.cli.study import study
from ultraedit.cli.undo import undo
from ultraedit.cli.validate import validate
from ultraedit.cli.verify import verify
from ultraedit.editing.memory import bound_kernel_caches
from ultraedit.errors import UltraEditError

app = typer.Typer(
    name="ultraedit",
    help="Keep a language model's knowledge current by editing its weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = (
    ask, bench, build, consolidate, demo, diff, edit, eval_, export, init,
    log, mark, push, rollback, serve, show, study, undo, plan, prepare, validate, verify
)  # fmt: skip
for verb in VERBS:
    app.command(verb.__name__.rstrip("_"))(verb)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def ultraedit(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """Keep a language model's knowledge current by editing its weights."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and leave through SystemExit: 0 is done, 1 that the verb's own answer is no, 130 an
    interrupt, and 2 input that cannot be used, told in one sentence."""
    bound_kernel_caches()
    write_anything()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            app(None if arguments is None else list(arguments))
    except UltraEditError as error:
        refuse(str(error))
    except OSError as error:  # a file or disk that refuses, where no verb knew more of it
        place = f"'{error.filename}' cannot be used: " if error.filename else ""
        refuse(f"{place}{error.strerror or error}.")
    except MemoryError:
        refuse("there is not enough memory; use a smaller model, turn or --micro-batch.")
