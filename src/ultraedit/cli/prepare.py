"""`ultraedit prepare FACTS`: a file of facts made ready, to be read and mended before it is written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.cli.common import (
    ConfigOption,
    JsonOption,
    SeedOption,
    refuse_taken,
    repeated_warnings,
    seed_all,
)
from ultraedit.cli.options import option_word, with_options
from ultraedit.cli.screen import bar_width, console, note, print_json, say
from ultraedit.cli.workspaces import (
    BaseOption,
    opened,
    refuse_elsewhere,
    refuse_fixed,
    short,
)
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings, Loading

if TYPE_CHECKING:
    from ultraedit.data.record import Record
    from ultraedit.editing.editor import Editor
    from ultraedit.editing.preparing import PreparedFact

PRESET = "gentle"
"""The preset whose wordings and sentences are made where none is named."""


@with_options(settings=EditSettings(preset=PRESET), loading=Loading())
def prepare(  # noqa: PLR0913 - each option is a parameter
    file: Annotated[
        str,
        typer.Argument(
            metavar="FACTS", help="JSONL, JSON, CSV, TSV, Parquet, or hf:owner/name:split."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="A folder, a hub id, smollm2, or a workspace."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="JSONL", help="Write the prepared facts here.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out holds.")
    ] = False,
    keep_known: Annotated[
        bool,
        typer.Option("--keep-known", help="Keep facts that the model answers rightly already."),
    ] = False,
    *,
    settings: EditSettings,
    base: BaseOption = None,
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a file of facts ready: leave out what is known, find contradictions, write wordings and sentences.

    The unedited model makes, once, what will be written: further wordings of each prompt, and the answer in its own
    words. --out is a file of facts like any other: read it, mend it, and give it to `ultraedit edit --file`.
    """
    from ultraedit.data.read import read_records
    from ultraedit.editing.precious import refuse_precious
    from ultraedit.io.target import refuse_unwritable
    from ultraedit.workspace.config import is_workspace

    refuse_taken(out, overwrite)
    refuse_precious(out, file, model)
    refuse_unwritable(out)
    records = list(read_records(file))
    if not records:
        raise ConfigError(f"'{file}' holds no facts; give a file with at least one.")
    seed_all(seed)
    if is_workspace(model):
        given = [option_word(name) for name in settings.changed() if name != "preset"]
        given += (
            ["preset"] * (settings.preset != PRESET)
            + ["dtype"] * (loading.dtype != "auto")
            + ["quantize"] * (loading.quantize is not None)
        )
        refuse_fixed(model, dict.fromkeys(given, True))
        with opened(Path(model), base, loading, write=False) as workspace, repeated_warnings():
            in_force = workspace.history.in_force()
            with workspace.editor.disable_edits():
                found = _prepared(workspace.editor, records, in_force, json_output)
    else:
        refuse_elsewhere(model, {"base": base})
        settings.method()
        from ultraedit.editing.editor import Editor

        with repeated_warnings():
            editor = Editor.from_pretrained(model, settings, **asdict(loading))
            found = _prepared(editor, records, (), json_output)
    kept = [f for f in found if keep_known or not f.known]
    _write(out, [f.record for f in kept])
    _tell(found, len(kept), out, json_output)


def _prepared(
    editor: Editor, records: list[Record], in_force: list[Record] | tuple[()], quiet: bool
) -> list[PreparedFact]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ultraedit.editing.preparing import prepare_facts
    from ultraedit.evaluation.match import contains

    screen = console(stderr=True)
    columns = [
        TextColumn("preparing"),
        BarColumn(bar_width(screen)),
        TextColumn("{task.completed:.0f}/{task.total:.0f} facts"),
        TimeRemainingColumn(compact=True),
    ]
    found: list[PreparedFact] = []
    with Progress(*columns, console=screen, disable=quiet or not screen.is_terminal) as bar:
        task = bar.add_task("preparing", total=len(records))
        for fact in prepare_facts(editor, records, contains, in_force):
            found.append(fact)
            bar.update(task, advance=1)
    return found


def _write(out: Path, records: list[Record]) -> None:
    from ultraedit.data.forms.plain import plain_row
    from ultraedit.io.atomic import new_file

    with new_file(out) as made:
        made.write_text(
            "".join(json.dumps(plain_row(r), ensure_ascii=False) + "\n" for r in records),
            encoding="utf-8",
        )


def _tell(found: list[PreparedFact], kept: int, out: Path, json_output: bool) -> None:
    known = sum(f.known for f in found)
    wordings = sum(len(f.record.wordings) for f in found)
    own = sum(bool(s) and s != f.record.target for f in found for s in f.record.sentences[:1])
    conflicts = [
        {"prompt": f.record.prompt, "target": f.record.target, "conflict": f.conflict}
        for f in found
        if f.conflict is not None
    ]
    if json_output:
        print_json(
            {
                "out": str(out),
                "facts": len(found),
                "written": kept,
                "known": known,
                "wordings": wordings,
                "own_words": own,
                "conflicts": conflicts,
            }
        )
        return
    for row in conflicts:
        note(f'"{short(str(row["prompt"]))}" -> "{row["target"]}": {row["conflict"]}')
    rows = [
        ("facts", f"{len(found):,}"),
        (
            "known already",
            f"{known:,}{' (kept)' if kept == len(found) else ' (left out)'}" if known else "0",
        ),
        (
            "contradictions",
            f"{len(conflicts):,}{' (the later one is written)' if conflicts else ''}",
        ),
        ("wordings", f"{wordings:,} made"),
        ("own words", f"{own:,} of {len(found):,} answers"),
        ("facts to write", f"{kept:,} in {out}"),
    ]
    for name, value in rows:
        say(f"{name:<14}  {value}")
