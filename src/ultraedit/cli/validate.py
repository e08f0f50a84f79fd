"""`ultraedit validate FILE`: what a file of facts is, and which rows cannot be used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.cli.screen import print_json, say

if TYPE_CHECKING:
    from ultraedit.data.validate import Validation


def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A file, a folder of Parquet shards, or hf:owner/name:split."
        ),
    ],
    form: Annotated[
        str | None, typer.Option(help="Read the columns as this form instead of telling it.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what a file of facts is, show the first record, and name the rows that cannot be used.

    Exits with 0 when every row can be used, with 1 when some cannot, and with 2 when the file
    cannot be read at all.
    """
    from ultraedit.data.validate import validate as check

    found = check(file, form)
    if json_output:
        print_json(found.as_dict())
    else:
        say(_text(found))
    if found.unusable:
        raise typer.Exit(1)


def _text(found: Validation) -> str:
    lines = [f"{found.source}: {found.form} ({found.about})"]
    wide = max((len(column) for column, _ in found.mapping), default=0)
    lines += [f"  {column:<{wide}}  ->  {field}" for column, field in found.mapping]
    if found.unused:
        lines.append(f"  not read: {', '.join(found.unused)}")
    if found.first is not None:
        lines += ["first record:", *_record(found)]
    if found.bad:
        lines.append(
            f"first row that cannot be used: line {found.bad[0].line}: {found.bad[0].reason}"
        )
    counts = (("row", found.rows), ("record", found.records), ("unusable row", found.unusable))
    lines.append(", ".join(f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts))
    return "\n".join(lines)


def _record(found: Validation) -> list[str]:
    row = found.as_dict()["first"]
    return [
        f"  {name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in row.items()
        if value not in (None, [], ())
    ]
