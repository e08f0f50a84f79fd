"""Methods by name, and settings changed one by one."""

from __future__ import annotations

from dataclasses import fields, replace

from ultraedit.errors import ConfigError
from ultraedit.methods import paper, stableedit, ultraedit
from ultraedit.methods.base import Method

MICRO_BATCH = 64
"""Prompts run together through the top blocks, at most."""

PRESETS: dict[str, Method] = {**paper.PRESETS, **stableedit.PRESETS, **ultraedit.PRESETS}
"""Methods by name, as `--preset` and `preset=` take them."""


def method(preset: str | Method, **changes: float | int | bool | str | None) -> Method:
    """A preset with some settings changed; None means unchanged.

    Raises ConfigError for an unknown preset or setting, or a value out of range.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise ConfigError(
                f'preset "{preset}" is unknown; the presets are {", ".join(PRESETS)}.'
            )
        preset = PRESETS[preset]
    given = {key: value for key, value in changes.items() if value is not None}
    known = [f.name for f in fields(preset)]
    for key, value in given.items():
        if key not in known:
            raise ConfigError(
                f'{key} is {value}; preset "{preset.name}" has no such setting, only {", ".join(known)}.'
            )
    made = replace(preset, **given)  # type: ignore[arg-type]
    made.check()
    return made
