"""What readers see of a workspace: its journal as it stood at the last acknowledged change.

The model thread writes the journal; everybody else reads one of these, which never changes.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property
from typing import Any

from ultraedit.serving.refusals import Refusal
from ultraedit.workspace.history import BASE, HEAD, History, Status
from ultraedit.workspace.journal import EditRow, TurnRow
from ultraedit.workspace.store import Store
from ultraedit.workspace.version import version_name

TURN = "turn:"


class View:
    """A workspace at one moment."""

    def __init__(self, store: Store, name: str) -> None:
        """
        Args:
            store: The opened folder; what it knows now is copied.
            name: What the model is called in requests.
        """
        journal = store.journal
        copied = replace(
            journal,
            turns=dict(journal.turns),
            commits=list(journal.commits),
            spans=dict(journal.spans),
            states=set(journal.states),
            pairs=set(journal.pairs),
            marks=dict(journal.marks),
        )
        self.store = Store(store.folder, store.config, copied, None)
        self.name = name
        self._lock = threading.Lock()

    @property
    def history(self) -> History:
        """What the journal means."""
        return self.store.history

    @property
    def head(self) -> int:
        """The turn the model stands at."""
        return self.store.head

    @cached_property
    def version(self) -> str:
        """The head's weight version."""
        return version_name(self.store, self.head)

    def version_of(self, turn: int) -> str:
        """A turn's weight version."""
        return version_name(self.store, turn)

    @property
    def statuses(self) -> dict[int, Status]:
        """Edit -> what has become of it at the head; reads the whole journal the first time."""
        with self._lock:
            return self._statuses

    @cached_property
    def _statuses(self) -> dict[int, Status]:
        return self.history.statuses()

    def turn_of(self, model: str) -> int | None:
        """The turn that a model id means; None is the head, whatever it is when the request begins.

        Raises Refusal with 404 for a model, mark or turn that is not there or no longer kept.
        """
        if model == self.name:
            return None
        at = model.removeprefix(f"{self.name}@")
        if at == model:
            raise self._unknown(model)
        if at == HEAD:
            return None
        if at == BASE:
            return 0
        if at in self.history.marks:
            return self.history.marks[at]
        number = at.removeprefix(TURN)
        if number == at or not (number.isascii() and number.isdigit() and len(number) < 16):
            raise self._unknown(model)
        turn = int(number)
        if turn and turn not in self.store.journal.turns:
            raise self._unknown(model)
        if turn and turn not in self.store.journal.states:
            raise Refusal(
                404,
                f"the weights after turn {turn} are no longer kept (the workspace's undo window is "
                f"{self.store.config.undo_window} turns); mark turns that are to be asked later.",
                param="model",
            )
        return turn

    def _unknown(self, model: str) -> Refusal:
        known = ", ".join(row["id"] for row in self.models()[:20])
        return Refusal(
            404,
            f'there is no model "{model[:200]}" here; there are {known}, and {self.name}@{TURN}N for a turn that is '
            "still kept.",
            param="model",
        )

    def models(self) -> list[dict[str, Any]]:
        """What `/v1/models` lists, the window of the model aside: the head, the base, the marks."""
        named = {self.name: self.head, f"{self.name}@{BASE}": 0}
        named |= {f"{self.name}@{mark}": turn for mark, turn in self.history.marks.items()}
        return [self.model(model, turn) for model, turn in named.items()]

    def model(self, model: str, turn: int) -> dict[str, Any]:
        """One model as `/v1/models/{id}` tells of it."""
        from datetime import datetime

        row = self.store.journal.turns.get(turn)
        when = row.time if row is not None else self.store.config.created
        base = f"{self.name}@{BASE}"
        return {
            "id": model,
            "object": "model",
            "created": int(datetime.fromisoformat(when).timestamp()),
            "owned_by": "ultraedit",
            "root": base,
            "parent": None if model == base else base,
            "weight_version": self.version_of(turn),
        }

    def edit(self, row: EditRow) -> dict[str, Any]:
        """One edit as `/edits` tells of it."""
        found = {"object": "edit"} | row.model_dump(mode="json")
        status = self.statuses.get(row.edit)
        found["status"] = "undone" if status is None else status.word
        found["superseded_by_edit"] = None if status is None else status.by
        return found

    def edits(
        self, after: int | None, limit: int, newest_first: bool
    ) -> tuple[list[EditRow], bool]:
        """A page of all edits ever, behind the one numbered `after`, and whether there are more."""
        journal = self.store.journal
        found: list[EditRow] = []
        for number in sorted(journal.turns, reverse=newest_first):
            row = journal.turns[number]
            low, high = row.first_edit, row.first_edit + row.edits
            if not row.edits or (
                after is not None and (low >= after if newest_first else high <= after + 1)
            ):
                continue
            rows = list(journal.rows(number))
            for edit in reversed(rows) if newest_first else rows:
                if after is not None and (
                    edit.edit >= after if newest_first else edit.edit <= after
                ):
                    continue
                if len(found) == limit:
                    return found, True
                found.append(edit)
        return found, False

    def find_edit(self, number: int) -> EditRow:
        """The edit with this number.  Raises Refusal with 404."""
        for row in self.store.journal.turns.values():
            if row.first_edit <= number < row.first_edit + row.edits:
                return next(e for e in self.store.journal.rows(row.turn) if e.edit == number)
        raise Refusal(404, f"there is no edit #{number}; GET /edits lists them.", param="edit")

    def turn(self, row: TurnRow, lineage: set[int]) -> dict[str, Any]:
        """One turn as `/history` tells of it."""
        found = row.model_dump(mode="json", exclude={"shifts", "statistics", "state", "pairs"})
        return found | {
            "weight_version": self.version_of(row.turn),
            "in_lineage": row.turn in lineage,
            "kept": row.turn in self.store.journal.states,
        }
