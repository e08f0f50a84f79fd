"""Methods by name, and settings changed one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from ultraedit import arguments
from ultraedit.errors import ConfigError
from ultraedit.methods import paper, stableedit, ultraedit
from ultraedit.methods.base import Method
from ultraedit.methods.paper import Paper
from ultraedit.methods.stableedit import StableEdit
from ultraedit.methods.ultraedit import UltraEdit

PRESETS: dict[str, Method] = {**paper.PRESETS, **stableedit.PRESETS, **ultraedit.PRESETS}
"""Methods by name, as `--preset` and `preset=` take them."""


def method(preset: str | Method, **changes: float | int | bool | str | None) -> Method:
    """A preset with some settings changed; None means unchanged.

    Raises ConfigError for an unknown preset or setting, or a value out of range.
    """
    if not isinstance(preset, Method):
        preset = arguments.word(preset, "preset")
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
                f'{key} is {arguments.quoted(value)}; preset "{preset.name}" has no such setting, only '
                f"{', '.join(known)}."
            )
    return _checked(replace(preset, **given))  # type: ignore[arg-type]


def _checked(made: Method) -> Method:
    """Raises ConfigError for a setting of the wrong kind or out of range, in a method made by hand too."""
    kinds: dict[Any, Callable[[object, str], object]] = {
        "float": arguments.number,
        "int": arguments.whole,
        "bool": arguments.flag,
        "str": arguments.word,
    }
    for f in fields(made):
        kinds[f.type](getattr(made, f.name), f.name)
    made.check()
    return made


COMMON: dict[str, bool | int | float] = {
    "text_weight": 0.0,
    "history": False,
    "horizon": 0.0,
    "prompt_tokens": 0,
    "whiten": False,
}
"""Settings that a kept method names whatever it is; those that it does not have are off."""


def settings_of(method: Method) -> dict[str, bool | int | float | str]:
    """A method as it is kept in files: every setting of every method, and whether it is a published form."""
    settings = COMMON | asdict(method) | {"published": isinstance(method, Paper)}
    return settings | {"whiten": True} if isinstance(method, StableEdit) else settings


def from_settings(settings: Mapping[str, Any]) -> Method:
    """The inverse of `settings_of`.  Raises ConfigError for settings that this program does not know."""
    kind: type[Method] = UltraEdit
    if settings.get("published"):
        kind = StableEdit if settings.get("whiten") else Paper
    own = {f.name for f in fields(kind)}
    if unknown := sorted(set(settings) - own - set(COMMON) - {"published"}):
        raise ConfigError(
            f"the setting '{unknown[0]}' is one that this program does not know; use a newer one."
        )
    try:
        return _checked(kind(**{key: value for key, value in settings.items() if key in own}))
    except TypeError as error:
        raise ConfigError(f"{error}; they were written by another program.") from error
