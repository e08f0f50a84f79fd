"""Verbs with --server: the change is sent to the server that holds the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ultraedit.cli.screen import note, print_json, say
from ultraedit.errors import ConfigError

if TYPE_CHECKING:
    from ultraedit.serving.client import Client

CHANGE = ("kind", "head", "edits", "rewritten", "exact", "text")
"""What a verb prints of a change, here as without a server."""


def undo(
    workspace: Path,
    server: str,
    last: int | None,
    edit: str | None,
    by: str,
    base: str | None,
    json_output: bool,
) -> None:
    """The last edits, or one out of the middle."""
    client = _client(workspace, server, base)
    if edit is None:
        found = client.change("POST", "/undo", {"count": last or 1})
    else:
        number = edit.removeprefix("#")
        if not (number.isascii() and number.isdigit()):
            raise ConfigError(
                f'"{edit}" is not the number of an edit; a server takes numbers, which `ultraedit log` lists.'
            )
        found = client.change("DELETE", f"/edits/{number}?how={by}")
    _print(found, json_output)


def rollback(workspace: Path, server: str, to: str, base: str | None, json_output: bool) -> None:
    """An earlier state."""
    found = _client(workspace, server, base).change("POST", "/rollback", {"to": to})
    _print(found, json_output)


def mark(
    workspace: Path, server: str, name: str | None, at: str | None, delete: bool
) -> tuple[dict[str, int], int]:
    """Set, delete or only list marks; returns them all, and the turn of the one that was named."""
    client = _client(workspace, server, None)
    before = _marks(client)
    if name is None:
        return before, 0
    if delete:
        client.change("DELETE", f"/marks/{name}")
        return _marks(client), before.get(name, 0)
    client.change("PUT", f"/marks/{name}", {"at": at})
    after = _marks(client)
    return after, after[name]


def edit_one(workspace: str, server: str, fact: dict[str, Any], json_output: bool) -> None:
    """One fact, as a turn of its own."""
    from ultraedit.editing.receipt import Receipt

    found = _client(Path(workspace), server, None).change("POST", "/edits", {"edits": [fact]})
    row = found["receipts"][0]
    number = row.pop("edit")
    row.pop("rephrases")
    receipt = Receipt(**row, turn=found["turn"])
    if json_output:
        print_json(receipt.as_dict() | {"edit": number, "health": found["health"]})
        return
    say(f"#{number} {receipt}")
    _tell_health(found)


def edit_file(
    workspace: str, server: str, file: str, turn: int, with_rephrases: bool, json_output: bool
) -> None:
    """A file, turn by turn, from its first row."""
    from ultraedit.data.read import read_records

    client = _client(Path(workspace), server, None)
    summary: dict[str, Any] = {
        "edits": 0,
        "learned": 0,
        "superseded": 0,
        "turns": 0,
        "seconds": 0.0,
    }
    head = 0

    def write(facts: list[dict[str, Any]]) -> int:
        found = client.change("POST", "/edits", {"edits": facts})
        receipts = found["receipts"]
        summary["edits"] += len(receipts)
        summary["learned"] += sum(row["learned"] for row in receipts)
        summary["superseded"] += sum(row["superseded_by"] is not None for row in receipts)
        summary["turns"] += 1
        summary["seconds"] += found["seconds"]
        note(f"turn {found['turn']}: {summary['edits']:,} edits written")
        _tell_health(found)
        return int(found["head"])

    facts: list[dict[str, Any]] = []
    for record in read_records(file):
        fact: dict[str, Any] = {"prompt": record.prompt, "target": record.target, "id": record.id}
        if record.subject is not None:
            fact["subject"] = record.subject
        if with_rephrases:
            fact["rephrases"] = list(record.rephrases)
        facts.append(fact)
        if len(facts) == turn:
            head, facts = write(facts), []
    if facts:
        head = write(facts)
    if json_output:
        print_json(summary | {"workspace": workspace, "head": head})
        return
    say(
        f"{summary['edits']:,} edits in {summary['turns']:,} turns, {summary['learned']:,} learned, "
        f"{summary['superseded']:,} superseded, {summary['seconds']:.1f} s; {workspace} stands at turn {head}"
    )


def _client(workspace: Path, server: str, base: str | None) -> Client:
    """A client of the server that serves this workspace."""
    from ultraedit.serving.client import Client
    from ultraedit.serving.keys import key_for_writing
    from ultraedit.workspace.config import is_workspace
    from ultraedit.workspace.store import Store

    if base is not None:
        raise ConfigError(
            "--base does not go with --server: the server has its base already; leave it out."
        )
    client = Client(server, key_for_writing())
    identity = None
    if is_workspace(workspace):
        identity = Store.open(workspace).journal.commits[0].digest
    client.require(str(workspace), identity)
    return client


def _marks(client: Client) -> dict[str, int]:
    return {row["name"]: row["turn"] for row in client.call("GET", "/marks")["data"]}


def _print(found: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json({name: found[name] for name in CHANGE})
    else:
        say(found["text"])


def _tell_health(found: dict[str, Any]) -> None:
    health = found.get("health")
    if health and health["level"] != "green":
        typer.echo(
            f"health after turn {found['turn']}: {health['level']}: {'; '.join(health['reasons'])}",
            err=True,
        )
