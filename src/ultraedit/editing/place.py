"""Puts a file or folder in its place whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ultraedit.errors import ConfigError
from ultraedit.model.smollm2 import ALIAS, FOLDER, cache_dir


@contextmanager
def placing(target: Path, overwrite: bool) -> Iterator[Path]:
    """A path that does not exist yet; the file or folder the block makes there takes `target`'s place.

    Everything is flushed to disk before the rename.  Raises ConfigError if `target` holds something and `overwrite`
    is off, or if it cannot be written (a full disk, say): then nothing is left behind.
    """
    refuse_occupied(target, overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise ConfigError(
            f"'{target}' cannot be written: {error.strerror}; choose another place."
        ) from error
    try:
        made = scratch / "made"
        yield made
        _flush(made)
        _swap(made, target, scratch / "old")
        _fsync(target.parent)
    except (OSError, SafetensorError) as error:  # safetensors wraps a full disk in its own error
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"'{target}' could not be written ({why}); nothing was left there: free some space or choose another "
            "place."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def refuse_occupied(target: Path, overwrite: bool) -> None:
    """Raise ConfigError where `target` is a file or a folder that holds something, unless it may be replaced."""
    if overwrite or not target.exists():
        return
    if target.is_file():
        raise ConfigError(f"'{target}' already exists; choose another name or pass --overwrite.")
    if any(target.iterdir()):
        raise ConfigError(
            f"'{target}' already holds something; choose another folder or pass --overwrite."
        )


def refuse_precious(target: Path, *sources: str | Path) -> None:
    """Raise ConfigError where putting something at `target` would replace what must stay, overwriting allowed or not.

    That is one of `sources` (files, folders, or names of models, which lie nowhere), a workspace, or the folder one
    works in.
    """
    place = target.resolve()
    for source in sources:
        kept = (cache_dir() / FOLDER if str(source) == ALIAS else Path(source)).resolve()
        if kept.exists() and kept.is_relative_to(place):
            raise ConfigError(
                f"'{target}' {'is' if kept == place else 'holds'} '{source}', which this starts from and which would "
                "be gone; choose another place."
            )
    if (place / "workspace.json").is_file():
        raise ConfigError(
            f"'{target}' is a workspace, and its journal would be lost; choose another place."
        )
    if Path.cwd().is_relative_to(place) or Path.home().resolve().is_relative_to(place):
        raise ConfigError(
            f"'{target}' holds the folder you work in or your home; name a new folder."
        )


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


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
    """fsync a file, or a folder with all it holds; safetensors' private file mode becomes the usual one."""
    if path.is_dir():
        for inside in path.iterdir():
            _flush(inside)
    else:
        path.chmod(0o644)
    _fsync(path)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
