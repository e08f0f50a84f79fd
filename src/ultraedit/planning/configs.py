"""Where a plan's config comes from: a bundled one of a published model, a local folder, or the hub."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from transformers import AutoConfig, PreTrainedConfig

from ultraedit.errors import ModelError
from ultraedit.model import checkpoint
from ultraedit.model.load import refuse_stray_path, resolve


def bundled_names() -> list[str]:
    """Models whose config files (not their weights) come with this package."""
    shapes = files("ultraedit.planning") / "shapes"
    return sorted(entry.name for entry in shapes.iterdir() if entry.is_dir())


def read_config(name: str) -> PreTrainedConfig:
    """Raises ModelError where there is no config of a causal language model under this name."""
    bundled = not Path(name).is_dir() and name in bundled_names()
    if not bundled:
        source = resolve(name)
        try:
            refuse_stray_path(name, source)
            config = checkpoint.read_config(name, source, trust_remote_code=False)
        except ModelError as error:
            known = ", ".join(bundled_names())
            raise ModelError(
                f"{str(error).rstrip('.')} (shapes that come along: {known})."
            ) from error
        checkpoint.refuse_other_kinds(name, config)
        return config
    with as_file(files("ultraedit.planning") / "shapes" / name) as folder:
        return AutoConfig.from_pretrained(folder)
