"""JSON files that are sealed by their own digest, so that a changed byte is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ultraedit.errors import WorkspaceError
from ultraedit.io.atomic import new_file, write_at

TEMPORARY = ".tmp"
"""What follows a file's name while it is being written."""


def write_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file that appears at `path` whole or not at all.

    What a crash leaves has a known name, so that the next writer finds and removes it.
    """
    with new_file(path, path.with_name(path.name + TEMPORARY)) as temporary:
        write(temporary)


def seal(content: dict[str, Any]) -> bytes:
    """JSON text that ends with the sha256 of its own content."""
    return _render(content | {"digest": _digest(content)})


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    write_file(path, lambda temporary: _write_bytes(temporary, seal(content)))


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a sealed file, without its digest.

    Raises WorkspaceError, naming the file, if it is missing or differs in a single byte from what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkspaceError(
            f"'{path}' cannot be read ({error.strerror}); the workspace is damaged or this is not one."
        ) from error
    return unseal(data, path)


def unseal(data: bytes, path: Path) -> dict[str, Any]:
    damaged = WorkspaceError(
        f"'{path}' is damaged: it is not, byte for byte, what was written; restore it from a backup."
    )
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if not isinstance(content, dict):
        raise damaged
    digest = content.pop("digest", None)
    if digest != _digest(content) or data != seal(content):
        raise damaged
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(_render(content)).hexdigest()


def _render(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogatepass"
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    write_at(path, data, 0)
