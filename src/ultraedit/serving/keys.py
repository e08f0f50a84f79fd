"""Who may do what: read keys ask, admin keys write too.

Keys come from the environment, from a file, or are made and printed once; never from the command line, which every
user of the machine can read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ultraedit.errors import ConfigError

READ_KEY = "ULTRAEDIT_API_KEY"
ADMIN_KEY = "ULTRAEDIT_ADMIN_KEY"
SHORTEST = 16
"""Characters of a key: fewer can be guessed."""

WRONG_TRIES = 10
"""Wrong keys from one address in `WINDOW` seconds that are answered with 401; more are told to wait."""
WINDOW = 60.0
ADDRESSES = 1024
"""Addresses whose wrong tries are remembered."""

Level = Literal["read", "admin"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Caller:
    """Whose key it is."""

    name: str
    level: Level


@dataclass(frozen=True)
class Keys:
    """The keys of a server, as digests."""

    callers: tuple[tuple[bytes, Caller], ...]
    printed: Mapping[str, str]
    """Level -> key that was made, to be printed once."""

    @classmethod
    def find(cls, file: Path | None, environment: Mapping[str, str], *, public: bool) -> Keys:
        """The keys of a file, else those of the environment, else new ones.

        Args:
            file: Lines of `NAME read|admin KEY`; blank ones and those that begin with # are passed over.
            environment: Where ULTRAEDIT_API_KEY and ULTRAEDIT_ADMIN_KEY may stand.
            public: The server can be reached from other machines, so that keys are not made up.

        Returns:
            At least one key.

        Raises:
            ConfigError: For a file that cannot be read, a key that is too short, or none on a public address.
        """
        found: list[tuple[str, Level, str]] = (
            _from_file(file) if file is not None else _from_environment(environment)
        )
        printed: dict[str, str] = {}
        if not found:
            if public:
                raise ConfigError(
                    f"a server that other machines can reach needs a key that you chose: set {ADMIN_KEY} (and "
                    f"{READ_KEY} for those who only ask), give --keys FILE, or serve on 127.0.0.1."
                )
            printed = {"read": secrets.token_urlsafe(24), "admin": secrets.token_urlsafe(24)}
            found = [("reader", "read", printed["read"]), ("admin", "admin", printed["admin"])]
        return cls(
            tuple((_digest(key), Caller(name, level)) for name, level, key in found), printed
        )

    def caller(self, key: str) -> Caller | None:
        """Whose key it is; None for nobody's.  Takes as long for a wrong key as for a right one."""
        digest, found = _digest(key), None
        for own, caller in self.callers:
            if hmac.compare_digest(own, digest):
                found = caller
        return found

    @property
    def can_write(self) -> bool:
        """Whether any key is an admin's."""
        return any(caller.level == "admin" for _, caller in self.callers)


class WrongTries:
    """Counts wrong keys by address, so that a log is not filled and guessing is slow."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    def too_many(self, address: str) -> bool:
        """Count one more; whether there were too many lately."""
        now = time.monotonic()
        recent = [at for at in self._tries.pop(address, []) if now - at < WINDOW]
        over = len(recent) >= WRONG_TRIES
        if not over:
            recent.append(now)
        self._tries[address] = recent
        while len(self._tries) > ADDRESSES:
            self._tries.popitem(last=False)
        return over


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, Level, str]]:
    found: list[tuple[str, Level, str]] = []
    for name, level, variable in (("reader", "read", READ_KEY), ("admin", "admin", ADMIN_KEY)):
        key = environment.get(variable, "")
        if key:
            found.append((name, level, _usable(key, f"the key in {variable}")))  # type: ignore[arg-type]
    if len({key for *_, key in found}) < len(found):
        raise ConfigError(
            f"{READ_KEY} and {ADMIN_KEY} are the same key; set two, or only {ADMIN_KEY}."
        )
    return found


def _from_file(file: Path) -> list[tuple[str, Level, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not a text"
        raise ConfigError(
            f"the keys' file '{file}' cannot be read ({why}); check the path."
        ) from error
    found: list[tuple[str, Level, str]] = []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        # the line itself is not quoted: it holds a secret
        if len(parts) != 3 or parts[1] not in ("read", "admin") or not _NAME.fullmatch(parts[0]):
            raise ConfigError(
                f"line {number} of the keys' file '{file}' is not NAME read|admin KEY; a name has letters, digits, "
                '".", "_" and "-".'
            )
        key = _usable(parts[2], f"the key in line {number} of '{file}'")
        found.append((parts[0], parts[1], key))  # type: ignore[arg-type]
    keys: Sequence[str] = [key for *_, key in found]
    if not found:
        raise ConfigError(
            f"the keys' file '{file}' holds no key; write lines of NAME read|admin KEY."
        )
    if len(set(keys)) < len(keys):
        raise ConfigError(f"the keys' file '{file}' holds a key twice; every line needs its own.")
    return found


def _usable(key: str, what: str) -> str:
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            f"{what} must have {SHORTEST} printable ASCII characters or more and no blank; `openssl rand -hex 24` "
            "makes one."
        )
    return key


def key_for_writing(environment: Mapping[str, str] = os.environ) -> str:
    """The key that the command line's own requests carry.  Raises ConfigError where there is none."""
    key = environment.get(ADMIN_KEY) or environment.get(READ_KEY)
    if not key:
        raise ConfigError(
            f"--server needs the server's admin key in {ADMIN_KEY}; the server printed it when it started."
        )
    return key
