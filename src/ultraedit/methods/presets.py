"""Methods by name, and settings changed one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from ultraedit import arguments
from ultraedit.errors import ConfigError
from ultraedit.methods import (
    alphaedit,
    finetune,
    lora,
    memit,
    paper,
    retrieval,
    stableedit,
    ultraedit,
)
from ultraedit.methods.alphaedit import AlphaEdit
from ultraedit.methods.base import Method
from ultraedit.methods.closed_form import ClosedForm
from ultraedit.methods.finetune import FineTune
from ultraedit.methods.lora import Lora
from ultraedit.methods.memit import Memit
from ultraedit.methods.paper import Paper
from ultraedit.methods.retrieval import Retrieval
from ultraedit.methods.stableedit import StableEdit
from ultraedit.methods.ultraedit import UltraEdit

BASELINES: dict[str, Method] = {
    **finetune.PRESETS,
    **lora.PRESETS,
    **memit.PRESETS,
    **alphaedit.PRESETS,
    **retrieval.PRESETS,
}
"""Other ways to edit, for comparison."""

PRESETS: dict[str, Method] = {
    **paper.PRESETS,
    **stableedit.PRESETS,
    **ultraedit.PRESETS,
    **BASELINES,
}
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
    arguments.whole(made.wordings, "wordings", 0)
    made.check()
    return made


KINDS: dict[str, type[Method]] = {
    kind.__name__.lower(): kind for kind in (FineTune, Lora, Memit, AlphaEdit, Retrieval)
}
"""Methods that are not in closed form, as they are named in files."""

COMMON: dict[str, bool | int | float] = {
    "text_weight": 0.0,
    "history": False,
    "horizon": 0.0,
    "prompt_tokens": 0,
    "whiten": False,
}
"""Settings that a kept method in closed form names whatever it is; those that it does not have are off."""


def settings_of(method: Method) -> dict[str, bool | int | float | str]:
    """A method as it is kept in files."""
    if not isinstance(method, ClosedForm):
        return {"kind": type(method).__name__.lower(), **asdict(method)}
    settings = COMMON | asdict(method) | {"published": isinstance(method, Paper)}
    return settings | {"whiten": True} if isinstance(method, StableEdit) else settings


def from_settings(settings: Mapping[str, Any]) -> Method:
    """The inverse of `settings_of`.  Raises ConfigError for settings that this program does not know."""
    given = dict(settings)
    kind: type[Method] | None = UltraEdit
    common: set[str] = set()
    if "kind" in given:
        kind = KINDS.get(str(given.pop("kind")))
    elif given.pop("published", False):
        kind = StableEdit if given.get("whiten") else Paper
    if kind is None:
        raise ConfigError(
            f"the method '{settings['kind']}' is one that this program does not know; use a newer one."
        )
    if issubclass(kind, ClosedForm):
        common = set(COMMON)
    own = {f.name for f in fields(kind)}
    if unknown := sorted(set(given) - own - common):
        raise ConfigError(
            f"the setting '{unknown[0]}' is one that this program does not know; use a newer one."
        )
    try:
        return _checked(kind(**{key: value for key, value in given.items() if key in own}))
    except TypeError as error:
        raise ConfigError(f"{error}; they were written by another program.") from error
