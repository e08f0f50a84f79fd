"""Files and folders that appear whole or not at all: made beside their place, flushed to disk, renamed into it.

Every write that must survive a crash goes through this file, so that failures can be simulated in one place.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ultraedit.errors import ConfigError
from ultraedit.io.target import refuse_occupied


@contextmanager
def new_file(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """A path in the same folder for the block to write a file at, which then takes `path`'s place.

    `path` is either as it was or whole and new, whatever goes wrong; the temporary file is removed if it can be.

    Args:
        path: Where the file is to be.  Its folder must exist.
        temporary: Where the block writes; by default a name that no other process chooses.  A fixed one lets a later
            process find what a crash left.

    Raises:
        OSError: The disk refuses.
    """
    made = temporary_name(path) if temporary is None else temporary
    try:
        yield made
        put_in_place(made, path)
    except BaseException:
        remove(made)
        raise


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process chooses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def put_in_place(made: Path, path: Path) -> None:
    """Flush a finished file to disk and rename it to `path`, in the same folder.  Raises OSError."""
    made.chmod(0o644)  # safetensors makes files that nobody else may read
    sync(made)
    os.replace(made, path)  # noqa: PTH105  (one place to simulate failures)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, and its folder where there is none.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as made:
        made.write_text(text, encoding="utf-8")


@contextmanager
def new_place(target: Path) -> Iterator[Path]:
    """A path that does not exist yet; the file or folder that the block makes there takes `target`'s place.

    Folders above `target` are made.  `target` is either as it was or whole and new.  Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        made = scratch / "made"
        yield made
        _flush(made)
        _swap(made, target, scratch / "old")
        sync(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def new_output(target: Path, overwrite: bool) -> Iterator[Path]:
    """`new_place` for a place that the user named.

    Raises:
        ConfigError: `target` holds something and `overwrite` is off, or it cannot be written (a full disk, say): then
            nothing is left behind.
    """
    refuse_occupied(target, overwrite)
    begun = False
    try:
        with new_place(target) as made:
            begun = True
            yield made
    except (OSError, SafetensorError) as error:  # safetensors wraps a full disk in its own error
        why = getattr(error, "strerror", None) or error
        if not begun:
            raise ConfigError(
                f"'{target}' cannot be written: {why}; choose another place."
            ) from error
        raise ConfigError(
            f"'{target}' could not be written ({why}); nothing was left there: free some space or choose another "
            "place."
        ) from error


def write_at(path: Path, data: bytes, offset: int) -> None:
    """Cut `path` to `offset` bytes, append `data`, flush to disk.  Creates the file if there is none."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(handle, offset)
        view = memoryview(data)
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
        os.fsync(handle)
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Flush a file to disk, or the renames and removals inside a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file if it is there and can be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _swap(made: Path, target: Path, old: Path) -> None:
    """Rename into place.  A file replaces a file in one step; a folder is moved aside first, and back on failure."""
    if not target.exists() or (target.is_file() and made.is_file()):
        made.replace(target)
        return
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _flush(path: Path) -> None:
    """Flush a file, or a folder with all it holds; safetensors' private file mode becomes the usual one."""
    if path.is_dir():
        for inside in path.iterdir():
            _flush(inside)
    else:
        path.chmod(0o644)
    sync(path)
