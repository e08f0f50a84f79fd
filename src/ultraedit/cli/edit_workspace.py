"""`ultraedit edit` and `ask` where MODEL is a workspace: edits are acknowledged on disk, the past can be asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from ultraedit.cli.common import repeated_warnings
from ultraedit.cli.screen import note, print_json, say
from ultraedit.model.form import FormChoice

if TYPE_CHECKING:
    from ultraedit.workspace.config import HealthConfig
    from ultraedit.workspace.journal import HealthRow
    from ultraedit.workspace.workspace import KeptTurn, Workspace


@dataclass
class Summary:
    """What a stream into a workspace did in this run."""

    edits: int = 0
    learned: int = 0
    superseded: int = 0
    turns: int = 0
    seconds: float = 0.0
    skipped: int = 0
    """Rows of the file that were written before."""


def edit_one(
    workspace: Workspace, prompt: str, target: str, rephrases: list[str], *, json_output: bool
) -> None:
    """Write one fact as a turn of its own, with the answers before and after; then close the workspace."""
    with workspace, repeated_warnings():
        receipt = workspace.edit(prompt, target, rephrases=rephrases)
        number = workspace.store.journal.edits
        done = workspace.last_turn
        assert done is not None
        told = _Health(workspace.store.config.health)
    if json_output:
        found: dict[str, Any] = receipt.as_dict()
        found |= {"edit": number, "health": done.health.model_dump(mode="json")}
        print_json(found | _readings(done))
        return
    say(f"#{number} {receipt}")
    for reading in (done.chat, done.routing):
        if reading is not None:
            say(f"  {reading}")
    told.tell(done.turn, done.health, done.rolled_back_to)


def edit_file(
    workspace: Workspace,
    file: str,
    *,
    total: int | None,
    turn_size: int,
    with_rephrases: bool,
    again: bool,
    consolidate: bool,
    json_output: bool,
) -> None:
    """Stream a file, where it was interrupted before behind the last acknowledged row; then close the workspace."""
    from ultraedit.cli.progress import edit_progress
    from ultraedit.data.read import read_records
    from ultraedit.workspace.stream import stream, written_rows

    summary = Summary()
    folder = str(workspace.store.folder)
    with workspace, repeated_warnings():
        if not again:
            summary.skipped = written_rows(workspace.history, file, read_records(file))
        if summary.skipped:
            note(f"{summary.skipped:,} rows of '{file}' are written already (--again starts over).")
        last: KeptTurn | None = None
        left = None if total is None else total - summary.skipped
        health = _Health(workspace.store.config.health)
        with edit_progress(left, json_output) as advance:
            for done in stream(
                workspace, file, turn_size=turn_size, with_rephrases=with_rephrases, again=again
            ):
                receipts = done.receipts
                summary.edits += len(receipts)
                summary.learned += sum(r.learned for r in receipts)
                summary.superseded += sum(r.superseded_by is not None for r in receipts)
                summary.turns += 1
                summary.seconds += receipts[0].seconds
                advance(done)
                health.tell(done.turn, done.health, done.rolled_back_to)
                last = done
        if consolidate:
            from ultraedit.cli.consolidate import ROUNDS, consolidated

            rounds = consolidated(workspace, ROUNDS, None, turn_size, quiet=json_output)
            if not json_output and not rounds:
                note("no edit is lost: nothing to consolidate.")
        head = workspace.head
    if json_output:
        print_json(asdict(summary) | {"workspace": folder, "head": head} | _readings(last))
        return
    say(
        f"{summary.edits:,} edits in {summary.turns:,} turns, {summary.learned:,} learned, {summary.superseded:,} "
        f"superseded, {summary.seconds:.1f} s; {folder} stands at turn {head}"
    )
    for reading in (last and last.chat, last and last.routing):
        if reading is not None:
            say(f"{reading}.")


def _readings(turn: KeptTurn | None) -> dict[str, Any]:
    """What a turn left of the rest of the model, for JSON."""
    from dataclasses import asdict

    found = {"chat": turn and turn.chat, "routing": turn and turn.routing}
    return {name: reading and asdict(reading) for name, reading in found.items()}


def ask_workspace(
    workspace: Workspace,
    prompt: str,
    *,
    at: str | None,
    compare: str | None,
    form: FormChoice,
    max_new_tokens: int,
    json_output: bool,
) -> None:
    """Ask the head, or a mark; with `compare` another mark or state beside it ("base" is the unedited model).  Then
    close the workspace."""
    with workspace:
        names = [at or "head", *([compare] if compare is not None else [])]
        for name in names:
            workspace.history.resolve(name)
        answers = {}
        for name in names:
            with workspace.at(name):
                answers[name] = workspace.editor.ask(
                    prompt,
                    max_new_tokens=max_new_tokens,
                    form=form if form != "auto" else None,
                ).edited
    if json_output:
        folder = str(workspace.store.folder)
        print_json({"prompt": prompt, "model": folder, "answers": answers})
    elif compare is None:
        typer.echo(answers[names[0]])
    else:
        width = max(map(len, names))
        for name in reversed(names):
            typer.echo(f"{name:<{width}}  {answers[name]}")


class _Health:
    """Tells of a stream's health when its level changes, and once what that means: not the same at every turn."""

    def __init__(self, config: HealthConfig) -> None:
        self._config = config
        self._level = "green"
        self._explained: set[str] = set()

    def tell(self, turn: int, health: HealthRow, rolled_back_to: int | None) -> None:
        from ultraedit.workspace.health import advice

        if health.level != self._level:
            reasons = f": {'; '.join(health.reasons)}" if health.reasons else " again"
            note(f"health after turn {turn}: {health.level}{reasons}")
            words = advice(health, self._config)
            if words and words not in self._explained:
                note(f"  that is: {words}; said again only when the level changes.")
                self._explained.add(words)
            self._level = health.level
        if rolled_back_to is not None:
            note(f"rolled back to {f'turn {rolled_back_to}' if rolled_back_to else 'the base'}")
