"""What every reader yields, and how each opens its file.  Knows no form."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path
from typing import IO, NamedTuple

from ultraedit.errors import DataError


class Triple(NamedTuple):
    """One statement.  Ids and labels may be missing, never both of one end."""

    subject_id: str | None
    subject: str | None
    relation: str
    object_id: str | None
    object: str | None
    start: str | None = None
    """Year or date from which the statement holds, where the input says so."""


class Label(NamedTuple):
    """The name of an entity or of a property."""

    id: str
    label: str


def open_text(path: Path) -> IO[str]:
    """The file as UTF-8 text, unpacked where its first bytes say gzip or bzip2.

    Raises `DataError` when it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(3)
        if magic[:2] == b"\x1f\x8b":
            return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8")
        if magic == b"BZh":
            return io.TextIOWrapper(bz2.open(path, "rb"), encoding="utf-8")
        return path.open(encoding="utf-8")
    except OSError as error:
        raise DataError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error
