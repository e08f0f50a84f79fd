"""Checks of what callers pass in: a value of the wrong kind is refused in one sentence before anything is done.

Every function takes the value and the name its caller knows it by, and returns it in the form the library works with.
"""

from __future__ import annotations

import errno
import math
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ultraedit.errors import ConfigError, DataError

DeviceMap = str | Mapping[str, str | int] | None
"""How a model is spread over devices: a word of `DEVICE_WORDS`, module names and their devices, or not at all."""
DEVICE_WORDS = ("auto", "balanced", "balanced_low_0", "sequential")
"""What accelerate spreads a model by itself by."""


def quoted(value: object, limit: int = 60) -> str:
    """The value as Python shows it, cut at `limit` characters, and its type where that does not say it."""
    try:
        shown = repr(value).encode("utf-8", "backslashreplace").decode()
    except (
        Exception
    ):  # a value's own repr may fail in any way, and the sentence is about something else
        shown = "an object that cannot be shown"
    line = " ".join(shown.split())
    line = line if len(line) <= limit else line[: limit - 3] + "..."
    plain = value is None or isinstance(value, str | bytes | bool | int | float | list | dict)
    return line if plain else f"{line} ({type(value).__name__})"


def text(value: object, name: str) -> str:
    """A text that can be encoded.  Raises DataError; whether it may be blank is for the caller to say."""
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        hint = "; write the number as a text, in quotes" if number else ""
        raise DataError(f"{name} must be a text, found {quoted(value)}{hint}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name} holds half of a surrogate pair at character {error.start} ({quoted(value)}); write the character "
            "itself."
        ) from None
    return value


def texts(value: object, name: str) -> tuple[str, ...]:
    """Several texts as a tuple.  One text is a list of one, and None is none.  Raises DataError."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (text(value, name),)
    found = each(value)
    if found is None:
        raise DataError(f"{name} must be a text or a list of texts, found {quoted(value)}.")
    return tuple(text(item, f"{name}[{i}]") for i, item in enumerate(found))


def each(value: object) -> Iterator[Any] | None:
    """The items of a list, a tuple or another source of items; None for what is one thing by itself."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | bytearray | Mapping):
        return None
    try:
        return iter(value)
    except TypeError:  # a tensor of no dimension says that it can be iterated, and cannot
        return None


def whole(
    value: object,
    name: str,
    least: int | None = None,
    what: str = "it must be at least {least}",
) -> int:
    """A whole number, of at least `least` if that is given.  Raises ConfigError."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ConfigError(f"{name} is {quoted(value)}; it must be a whole number.")
    if least is not None and value < least:
        raise ConfigError(f"{name} is {quoted(value)}; {what.format(least=least)}.")
    return int(value)


def number(value: object, name: str) -> float:
    """A finite number, as it was given.  Raises ConfigError."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ConfigError(f"{name} is {quoted(value)}; it must be a number.")
    if isinstance(value, int) and abs(int(value)) > 2**1000:
        raise ConfigError(f"{name} is {quoted(value)}, which is too large.")
    if not math.isfinite(value):
        raise ConfigError(f"{name} {quoted(value)} is not a finite number.")
    return value  # type: ignore[return-value]


def flag(value: object, name: str) -> bool:
    """True or false, and not a word that counts as true.  Raises ConfigError."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} is {quoted(value)}; it must be True or False.")
    return value


def word(value: object, name: str) -> str:
    """A setting's word.  Raises ConfigError for what is no text; what it may be is for the caller to say."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {quoted(value)}; it must be a text.")
    return value


def place(value: object, name: str) -> Path:
    """The path of a file or folder.  Raises ConfigError."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise ConfigError(f"{name} is {quoted(value)}; it must be a path.")
    path = os.fspath(value)
    if not path or "\0" in path:
        raise ConfigError(f"{name} is {quoted(path)}, which is no path; name a file or a folder.")
    try:
        os.lstat(path)
    except UnicodeEncodeError:
        raise ConfigError(f"{name} is {quoted(path)}, which no file can be called.") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise ConfigError(
                f"{name} is {quoted(path)}, which no file can be called ({error.strerror})."
            ) from None  # whether it is there is for the caller to say
    return Path(path)


def model_name(value: object, name: str = "the model") -> str:
    """A model's folder, hub id or alias.  Raises ConfigError."""
    if isinstance(value, str | os.PathLike):
        return str(place(value, name)) if not isinstance(value, str) else _named(value, name)
    raise ConfigError(
        f"{name} is {quoted(value)}; give a folder, a hub id or 'smollm2' (a model that is loaded already goes to "
        "Editor itself)."
    )


def _named(value: str, name: str) -> str:
    place(value, name)
    return value


def device(value: object) -> str:
    """A device's name; torch's own object counts.  Raises ConfigError."""
    if type(value).__name__ == "device" and type(value).__module__ == "torch":
        return str(value)
    return word(value, "device")


def device_map(value: object) -> DeviceMap:
    """A word of accelerate's, a mapping of module names to devices, or None.  Raises ConfigError.

    A text that begins with a brace is a mapping, written as JSON or YAML: so an option and a config file have it.
    """
    wrong = ConfigError(
        f"device_map is {quoted(value)}; give {', '.join(DEVICE_WORDS)}, or a mapping of module names to devices, as "
        '{"model.layers.0": "cuda:0", "": "cpu"}.'
    )
    if value is None or (isinstance(value, str) and value in DEVICE_WORDS):
        return value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        import yaml

        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            raise wrong from None
    if not isinstance(value, Mapping) or not value:
        raise wrong
    found: dict[str, str | int] = {}
    for name, place in value.items():
        if type(place).__name__ == "device" and type(place).__module__ == "torch":
            place = str(place)
        number = isinstance(place, int) and not isinstance(place, bool) and place >= 0
        if not isinstance(name, str) or not (number or isinstance(place, str)):
            raise wrong
        found[name] = place
    return found


def one_place(device: str, spread: DeviceMap) -> None:
    """Raise ConfigError where both a device and a device map are given."""
    if spread is not None and device != "cpu":
        raise ConfigError(
            f"device is '{device}' and device_map is {quoted(spread)}; give one of the two."
        )


def dtype(value: object) -> str:
    """A dtype's name; torch's own object counts.  Raises ConfigError."""
    if type(value).__name__ == "dtype" and type(value).__module__ == "torch":
        return str(value).removeprefix("torch.")
    return word(value, "dtype")


def quantize(value: object) -> str | None:
    """Bits in which frozen weights are loaded, or None.  Raises ConfigError."""
    if value is not None and value not in ("4bit", "8bit"):
        raise ConfigError(f'quantize is {quoted(value)}; use "4bit" or "8bit", or leave it out.')
    return value  # type: ignore[return-value]


def names(value: str | Iterable[str]) -> tuple[str, ...]:
    """One choice, name or glob, or several, as several."""
    return (value,) if isinstance(value, str) else tuple(value)


def pair(value: Any) -> tuple[Any, Any] | None:
    """A model and its tokenizer that are loaded already, or None.  Raises ConfigError."""
    if value is None or (isinstance(value, tuple | list) and len(value) == 2):
        return None if value is None else (value[0], value[1])
    raise ConfigError(f"loaded is {quoted(value)}; it must be a pair of a model and its tokenizer.")


def patterns(value: object) -> str | tuple[str, ...] | None:
    """A choice of modules: a word, names and globs, or None for the preset's.  Raises ConfigError."""
    if value is None:
        return None
    wrong = ConfigError(
        f'modules is {quoted(value)}; give "auto", "paper", a module\'s name or a glob, or a list of those.'
    )
    if isinstance(value, str):
        if not value.strip():
            raise wrong
        return value
    found: tuple[Any, ...] = tuple(each(value) or ())
    if not found or not all(isinstance(item, str) and item.strip() for item in found):
        raise wrong
    return found
