"""`ultraedit edit`: one fact from the command line, or a file of them streamed turn by turn."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.cli.common import (
    ConfigOption,
    JsonOption,
    ModelArgument,
    SeedOption,
    refuse_taken,
    repeated_warnings,
    seed_all,
)
from ultraedit.cli.options import option_word, with_options
from ultraedit.cli.receipts import ReceiptFile
from ultraedit.cli.screen import note, print_json, say
from ultraedit.cli.workspaces import (
    BaseOption,
    ServerOption,
    opened,
    refuse_elsewhere,
    refuse_fixed,
)
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings, Loading

if TYPE_CHECKING:
    from ultraedit.editing.editor import Editor, EditSummary, WrittenTurn


@with_options(settings=EditSettings(), loading=Loading())
def edit(  # noqa: PLR0913 - each option is a parameter
    model: ModelArgument,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The prompt to edit.")
    ] = None,
    target: Annotated[
        str | None, typer.Argument(metavar="TARGET", help="The answer it is to have.")
    ] = None,
    rephrase: Annotated[
        list[str] | None,
        typer.Option("--rephrase", help="Another wording to write with PROMPT; may be repeated."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            metavar="FACTS",
            help="Edit a whole file instead: JSONL, JSON, CSV, TSV, Parquet, or hf:owner/name:split.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Save the edited model here.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out and --receipts hold.")
    ] = False,
    receipts: Annotated[
        Path | None,
        typer.Option("--receipts", metavar="JSONL", help="Write one receipt an edit to this file."),
    ] = None,
    with_rephrases: Annotated[
        bool,
        typer.Option("--with-rephrases", help="Write the rephrases that --file gives as well."),
    ] = False,
    turn_size: Annotated[
        int, typer.Option("--turn-size", min=1, help="Edits of --file written together.")
    ] = 100,
    *,
    settings: EditSettings,
    again: Annotated[
        bool,
        typer.Option("--again", help="In a workspace: start --file over, written rows and all."),
    ] = False,
    consolidate: Annotated[
        bool,
        typer.Option(
            "--consolidate",
            help="In a workspace: write again, behind --file, what the model has lost (`ultraedit consolidate`).",
        ),
    ] = False,
    server: ServerOption = None,
    base: BaseOption = None,
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Edit one fact, or a file of facts.

    MODEL PROMPT TARGET writes one fact; MODEL --file FACTS --out DIR streams a file turn by turn.

    Prints a receipt, or a summary.  MODEL itself is never changed: the edited copy goes to --out.

    Where MODEL is a workspace, edits are kept in it, and a file goes on where it was interrupted.
    """
    from ultraedit.workspace.config import is_workspace

    if server is not None or is_workspace(model):
        refuse_fixed(
            model,
            {
                "out": out,
                "overwrite": overwrite,
                "receipts": receipts,
                **dict.fromkeys((option_word(name) for name in settings.changed()), True),
                "dtype": loading.dtype != "auto",
                "quantize": loading.quantize,
            },
        )
        _check_what(prompt, target, file, rephrase, with_rephrases, consolidate)
        total = _check_input(prompt, target, file)
        if server is not None:
            from ultraedit.cli import at_server

            refuse_fixed(model, {"again": again, "base": base, "consolidate": consolidate})
            if file is not None:
                at_server.edit_file(model, server, file, turn_size, with_rephrases, json_output)
            else:
                fact = {"prompt": prompt, "target": target, "rephrases": rephrase or []}
                at_server.edit_one(model, server, fact, json_output)
            return
        from ultraedit.cli.edit_workspace import edit_file, edit_one

        seed_all(seed)
        workspace = opened(Path(model), base, loading)
        if file is not None:
            edit_file(
                workspace,
                file,
                total=total,
                turn_size=turn_size,
                with_rephrases=with_rephrases,
                again=again,
                consolidate=consolidate,
                json_output=json_output,
            )
        else:
            edit_one(workspace, prompt or "", target or "", rephrase or [], json_output=json_output)
        return
    refuse_elsewhere(model, {"again": again, "consolidate": consolidate, "base": base})

    settings.method()  # refuses a bad setting before the model is loaded
    _check_what(prompt, target, file, rephrase, with_rephrases, consolidate)
    total = _check_input(prompt, target, file)
    _check_outputs(model, file, out, receipts, overwrite)
    if out is not None and loading.quantize is not None:
        raise ConfigError(
            f"--quantize {loading.quantize} and --out do not go together: a merged full-precision checkpoint would be "
            "another model than the one that was edited; make a workspace (ultraedit init WS --model MODEL --quantize "
            f"{loading.quantize}), edit that, and take the edits out with --to delta."
        )
    seed_all(seed)

    from ultraedit.editing.editor import Editor

    with repeated_warnings():
        editor = Editor.from_pretrained(
            model,
            settings,
            **asdict(loading),
        )
        if file is not None and out is not None:
            lines = ReceiptFile(receipts)
            summary = _stream(editor, file, total, turn_size, with_rephrases, lines, json_output)
            editor.save_pretrained(out, overwrite=overwrite)
            lines.place(out)
            _print_summary(summary, out, receipts, json_output)
        else:
            _single(editor, prompt or "", target or "", rephrase or [], out, overwrite, json_output)


def _check_what(
    prompt: str | None,
    target: str | None,
    file: str | None,
    rephrase: list[str] | None,
    with_rephrases: bool,
    consolidate: bool,
) -> None:
    if file is not None and (prompt is not None or rephrase):
        raise ConfigError(
            f"both a prompt and --file '{file}' are given; give one fact or a file of facts."
        )
    if file is None and consolidate:
        raise ConfigError(
            "--consolidate is for --file; `ultraedit consolidate` does it at any other time."
        )
    if file is None and with_rephrases:
        raise ConfigError("--with-rephrases is for --file; give a single fact's with --rephrase.")
    if file is None and (prompt is None or target is None):
        raise ConfigError(
            "there is nothing to edit: give PROMPT and TARGET, or a file of facts with --file."
        )


def _check_input(prompt: str | None, target: str | None, file: str | None) -> int | None:
    """Refuse unusable text before the model is loaded; the count of a local file's facts."""
    from ultraedit.data.read import read_records

    if file is None:
        return sum(1 for _ in read_records([{"prompt": prompt, "target": target}]))
    if file.startswith("hf:"):
        return None  # reading it twice would download it twice
    return sum(1 for _ in read_records(file))


def _check_outputs(
    model: str, file: str | None, out: Path | None, receipts: Path | None, overwrite: bool
) -> None:
    from ultraedit.editing.precious import refuse_precious
    from ultraedit.editing.save import refuse_target
    from ultraedit.io.target import refuse_unwritable

    facts = [] if file is None else [file]
    if out is not None:
        refuse_target(out, overwrite, model, *facts)
    if file is not None and out is None:
        raise ConfigError(
            f"the edits of '{file}' would be lost: name a folder for the edited model with --out."
        )
    if receipts is None:
        return
    if file is None:
        raise ConfigError("--receipts is for --file; a single fact's receipt is printed.")
    refuse_taken(receipts, overwrite)
    refuse_precious(receipts, *facts)
    if out is not None and receipts.resolve().is_relative_to(out.resolve()):
        raise ConfigError(
            f"'{receipts}' lies in '{out}', which the edited model takes the place of; choose another file."
        )
    refuse_unwritable(receipts)


def _single(
    editor: Editor,
    prompt: str,
    target: str,
    rephrases: list[str],
    out: Path | None,
    overwrite: bool,
    json_output: bool,
) -> None:
    receipt = editor.edit(prompt, target, rephrases=rephrases)
    if out is not None:
        editor.save_pretrained(out, overwrite=overwrite)
    if json_output:
        print_json(receipt.as_dict() | {"out": None if out is None else str(out)})
        return
    say(str(receipt))
    if out is None:
        note("Nothing was saved: add --out DIR to keep the edited model.")
    else:
        say(f"  saved to {out}")


def _stream(
    editor: Editor,
    file: str,
    total: int | None,
    turn_size: int,
    with_rephrases: bool,
    receipts: ReceiptFile,
    quiet: bool,
) -> EditSummary:
    from ultraedit.cli.progress import edit_progress

    _check_lengths(editor, file)
    with edit_progress(total, quiet) as advance, receipts.writing() as write:

        def on_turn(written: WrittenTurn) -> None:
            write(written)
            advance(written)

        return editor.edit_many(
            file, turn_size=turn_size, with_rephrases=with_rephrases, on_turn=on_turn
        )


def _check_lengths(editor: Editor, file: str) -> None:
    """Find a prompt longer than the context now, and not after an hour of edits.

    A token stands for at least one byte, so only facts of about a context's bytes need the tokenizer.
    """
    from ultraedit.data.read import read_records
    from ultraedit.editing.assemble import encode_record

    if file.startswith("hf:"):
        return
    template = 512
    for record in read_records(file):
        if len((record.prompt + record.target).encode()) + template > editor.context:
            encode_record(record, editor.encoder, editor.context)


def _print_summary(
    summary: EditSummary, out: Path, receipts: Path | None, json_output: bool
) -> None:
    if json_output:
        where = {"out": str(out), "receipts": None if receipts is None else str(receipts)}
        print_json(asdict(summary) | where)
        return
    rows = [
        ("edits", f"{summary.edits:,} in {summary.turns:,} turns"),
        ("learned", f"{summary.learned:,} (every answer token most likely after its turn)"),
        ("superseded", f"{summary.superseded:,}"),
        (
            "mean p(target)",
            f"{summary.mean_probability_before:.3g} -> {summary.mean_probability_after:.3g}",
        ),
        ("time", f"{summary.seconds:.1f} s, {summary.edits / summary.seconds:.1f} edits/s"),
        ("model", str(out)),
    ]
    if receipts is not None:
        rows.append(("receipts", str(receipts)))
    for name, value in rows:
        say(f"{name:<14}  {value}")
