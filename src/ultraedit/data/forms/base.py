"""A form: the columns a data set is published with, and how one of its rows becomes records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ultraedit.data.record import Record
from ultraedit.data.row import Row, RowError, has_path

LARGEST_ID = 10**100
"""Python writes no numbers of more than 4,300 digits, and nobody means one as an id."""


@dataclass(frozen=True, slots=True)
class DataForm:
    """`records(row)` gives the row's records in edit order, or raises `RowError`."""

    name: str
    about: str
    """Where the form comes from, in one line."""
    needs: tuple[str, ...]
    """Dotted paths that must exist for a row to be of this form (`[]`: in the first item of a
    list).
    """
    columns: tuple[tuple[str, str], ...]
    """(column, field of `Record`): for docs and `ultraedit validate`; `*` stands for any text."""
    records: Callable[[Row], Iterable[Record]]

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether every needed column is there."""
        return all(has_path(row, path) for path in self.needs)

    def mapping(self, columns: Iterable[str]) -> list[tuple[str, str]]:
        """The (column, field) pairs whose outer column is among those of a file."""
        found = set(columns)
        return [
            (column, field)
            for column, field in self.columns
            if any(fnmatchcase(name, _outer(column)) for name in found)
        ]

    def unused(self, columns: Iterable[str]) -> list[str]:
        """The columns of a file that are in no pair, in file order."""
        outer = {_outer(column) for column, _ in self.columns}
        return [name for name in columns if not any(fnmatchcase(name, one) for one in outer)]


def _outer(column: str) -> str:
    """`edits[].relation.prompt` -> `edits`."""
    return re.split(r"[.\[]", column, maxsplit=1)[0]


def row_id(row: Row, own: str | None = None, part: int | None = None) -> str:
    """The data's own id where column `own` has one, else `<file stem>:<line>`; then `.part`."""
    value = row.data.get(own) if own else None
    if isinstance(value, int) and abs(value) > LARGEST_ID:
        raise RowError(f"field `{own}` is a number of too many digits; write the id as a text")
    base = str(value) if isinstance(value, (int, str)) and str(value) else f"{row.stem}:{row.line}"
    return base if part is None else f"{base}.{part}"


def present(*values: str | None) -> tuple[str, ...]:
    """The values that are there."""
    return tuple(value for value in values if value is not None)


def other_than(target: str, old: str | None) -> str | None:
    """The old answer, unless it is the target: some published rows edit a fact to itself."""
    return None if old == target else old
