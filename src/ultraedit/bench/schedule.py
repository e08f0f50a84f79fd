"""What a benchmark runs: presets with their settings, checkpoints, and the names of its parts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from ultraedit.errors import ConfigError
from ultraedit.extras import require
from ultraedit.methods.base import Method
from ultraedit.methods.closed_form import ClosedForm
from ultraedit.methods.paper import Paper
from ultraedit.methods.presets import BASELINES, method
from ultraedit.settings import OF_THE_METHOD, EditSettings

_FIXED = ("name", "modules")  # not settings of their own in a spec


@dataclass(frozen=True)
class MethodSpec:
    """One row of the table: a preset or a baseline with its settings."""

    label: str
    """As it was asked for, `paper:step=1e-3`."""
    method: Method
    modules: tuple[str, ...] | None
    """Names or globs of linear maps; None for the preset's own."""

    @property
    def chosen(self) -> str | tuple[str, ...]:
        """Modules that are edited, as they are asked for."""
        if self.modules and len(self.modules) == 1:
            return self.modules[0]
        return self.modules or self.method.modules

    def settings(self) -> dict[str, object]:
        """Every setting of the method, and what it needs, for the result file."""
        found: dict[str, object] = {
            f.name: getattr(self.method, f.name) for f in fields(self.method)
        }
        name = found.pop("name")
        found["preset" if isinstance(self.method, ClosedForm) else "baseline"] = name
        found |= self.method.needs.as_dict()
        if self.modules is not None:
            found["modules"] = list(self.modules)
        return found


def parse_rows(
    specs: Sequence[str],
    settings: EditSettings = EditSettings(),  # noqa: B008 - it is frozen
    *,
    eta: float | None = None,
    baselines: Sequence[str] = (),
) -> list[MethodSpec]:
    """Rows from `NAME` or `NAME:key=value,key=value`, presets first.

    `settings` are those of every row: modules and end token of baselines too, the others of presets, and the step of
    those that are not published, whose step is `eta`.  A row's own settings win.  `modules` in a spec are joined with
    "+".  Raises ConfigError for what is unknown, malformed, or there twice.
    """
    rows = [_parse(spec, settings, eta) for spec in specs]
    rows += [_parse_baseline(spec, settings) for spec in baselines]
    if not rows:
        raise ConfigError("no preset is given; name at least one with --preset.")
    names = [slug(row.label) for row in rows]
    for row, name in zip(rows, names, strict=True):
        if names.count(name) > 1:
            raise ConfigError(f"'{row.label}' is given twice; give each row settings of its own.")
    return rows


def _parse(spec: str, settings: EditSettings, eta: float | None) -> MethodSpec:
    name, parts = _parts("--preset", spec)
    base = method(name)
    own, modules = _changes(f"--preset '{spec}'", base, parts)
    shared = {key: getattr(settings, key) for key in OF_THE_METHOD}
    if isinstance(base, Paper):
        shared["step"] = eta
    if not isinstance(base, ClosedForm):
        shared = {"end_token": settings.end_token}
    return _spec(spec, method(base, **(shared | own)), modules, settings)


def _parse_baseline(spec: str, settings: EditSettings) -> MethodSpec:
    name, parts = _parts("--baseline", spec)
    if name not in BASELINES:
        raise ConfigError(
            f'baseline "{name}" is unknown; the baselines are {", ".join(BASELINES)}.'
        )
    own, modules = _changes(f"--baseline '{spec}'", BASELINES[name], parts)
    shared: Changes = {"end_token": settings.end_token}
    return _spec(spec, method(name, **(shared | own)), modules, settings)


def _spec(
    spec: str, how: Method, modules: tuple[str, ...] | None, settings: EditSettings
) -> MethodSpec:
    shared = settings.modules
    named = (shared,) if isinstance(shared, str) else None if shared is None else tuple(shared)
    return MethodSpec(spec.strip(), how, modules or named)


Changes = dict[str, float | int | bool | str | None]


def _changes(
    where: str,
    base: Method,
    parts: Sequence[tuple[str, str]],
) -> tuple[Changes, tuple[str, ...] | None]:
    """Settings that a spec changes, and the modules it names."""
    known = {f.name: getattr(base, f.name) for f in fields(base) if f.name not in _FIXED}
    changes: Changes = {}
    modules: tuple[str, ...] | None = None
    for key, value in parts:
        if key == "modules":
            modules = tuple(x.strip() for x in value.split("+"))
            continue
        key = "step" if key == "eta" else key
        changes[key] = _value(where, key, value, known)
    return changes, modules


def _parts(option: str, spec: str) -> tuple[str, list[tuple[str, str]]]:
    name, colon, rest = spec.partition(":")
    found = []
    for part in rest.split(",") if colon else ():
        key, equals, value = (x.strip() for x in part.partition("="))
        if not equals or not key or not value:
            raise ConfigError(
                f"{option} '{spec}': '{part}' is not a setting; write NAME:key=value,key=value."
            )
        found.append((key, value))
    return name.strip(), found


def _value(
    where: str, key: str, value: str, known: Mapping[str, bool | int | float]
) -> bool | int | float:
    if key not in known:
        raise ConfigError(
            f"{where}: setting '{key}' is unknown; the settings are {', '.join(known)}, modules."
        )
    kind = type(known[key])
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"{where}: {key} is '{value}'; write true or false.")
        return value.lower() == "true"
    try:
        return kind(value)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{where}: {key} is '{value}', which is not {wanted}.") from None


def require_extras(rows: Sequence[MethodSpec], tasks: Mapping[str, object]) -> None:
    """Raise ConfigError where a row or an ability task needs a package that is not installed."""
    for row in rows:
        if row.method.extra is not None:
            require(f"the baseline {row.method.name}", row.method.extra)
    if tasks:
        require("general ability", "ability")


def parse_checkpoints(text: str) -> int | tuple[int, ...]:
    """`5` is how many checkpoints; `1000,5000,20000` are the numbers of edits at which they stand."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        raise ConfigError(
            f"--checkpoints is '{text}'; write how many, or numbers of edits as 1000,5000,20000."
        )
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers


def checkpoint_times(
    edits: int, turn_size: int, checkpoints: int | tuple[int, ...]
) -> tuple[int, ...]:
    """Numbers of edits after which everything is scored, the last at the end.

    `checkpoints` is how many, evenly spread over the ends of turns (fewer where the stream has fewer turns), or the
    numbers themselves.  Raises ConfigError for numbers that do not rise, fall inside a turn or miss the end.
    """
    for name, value in (("edits", edits), ("turn-size", turn_size)):
        if value < 1:
            raise ConfigError(f"--{name} is {value}; it must be at least 1.")
    if isinstance(checkpoints, tuple):
        said = ",".join(map(str, checkpoints))
        if not checkpoints or sorted({0, *checkpoints}) != [0, *checkpoints]:
            raise ConfigError(f"--checkpoints is '{said}'; the numbers must rise from 1 on.")
        if checkpoints[-1] != edits:
            raise ConfigError(
                f"--checkpoints is '{said}' and the stream has {edits:,} edits; the last must be {edits}."
            )
        for number in checkpoints[:-1]:
            if number % turn_size:
                raise ConfigError(
                    f"--checkpoints is '{said}'; {number} is inside a turn, as --turn-size is {turn_size}."
                )
        return checkpoints
    if checkpoints < 1:
        raise ConfigError(f"--checkpoints is {checkpoints}; it must be at least 1.")
    times = {
        min(edits, math.ceil(edits * k / checkpoints / turn_size) * turn_size)
        for k in range(1, checkpoints + 1)
    }
    return tuple(sorted(times))


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", label)
