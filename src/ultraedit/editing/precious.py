"""What must not be replaced, overwriting allowed or not."""

from __future__ import annotations

from pathlib import Path

from ultraedit.errors import ConfigError
from ultraedit.model.smollm2 import ALIAS, FOLDER, cache_dir


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
