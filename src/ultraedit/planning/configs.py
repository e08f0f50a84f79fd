"""Where a plan's config comes from: a bundled one of a published model, a local folder, or the hub."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig

from ultraedit.errors import ModelError
from ultraedit.model.load import resolve


def bundled_names() -> list[str]:
    """Models whose config files (not their weights) come with this package."""
    shapes = files("ultraedit.planning") / "shapes"
    return sorted(entry.name for entry in shapes.iterdir() if entry.is_dir())


def read_config(name: str) -> PreTrainedConfig:
    """Raises ModelError where there is no config under this name."""
    if not Path(name).is_dir() and name in bundled_names():
        with as_file(files("ultraedit.planning") / "shapes" / name) as folder:
            return AutoConfig.from_pretrained(folder)
    try:
        return AutoConfig.from_pretrained(resolve(name))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # of any JSON
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"there is no config for '{name}': {reason}; give a folder, a hub id you can reach, or one of "
            f"{', '.join(bundled_names())}."
        ) from error
