"""Reads a Dockerfile: what the tests of ours need, and no more."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The list of the JSON form."""
        return json.loads(self.rest[self.rest.index("[") :])


def instructions(file: Path = ROOT / "Dockerfile") -> list[Instruction]:
    """In their order; lines that go on are joined, comments left out."""
    kept = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(kept).replace("\\\n", " ")
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word, " ".join(rest[0].split()) if rest else "") for word, *rest in parts]


def sent(path: str, file: Path = ROOT / ".dockerignore") -> bool:
    """Whether a file of the repository is sent to the builder: the last pattern that matches decides."""
    found = True
    for line in file.read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keep, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if any(_matches(part, pattern) for part in _and_above(path)):
            found = keep
    return found


def _and_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _matches(path: str, pattern: str) -> bool:
    bare = pattern.removeprefix("**/")
    if bare != pattern:
        return fnmatch.fnmatch(path.rpartition("/")[2], bare)
    return fnmatch.fnmatch(path, pattern) and path.count("/") == pattern.count("/")
