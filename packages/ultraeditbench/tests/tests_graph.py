"""A small invented graph for the builder's tests: towns, people, films and companies, no real
facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ultraeditbench import BuildConfig, BuildResult, build

FIRST = ("Anka", "Boro", "Cilla", "Dov", "Esme", "Falk", "Gita", "Hugo", "Ivo", "Jana")
LAST = ("Marlow", "Tenning", "Ostrava", "Quill", "Rademaker", "Sorrel", "Umber", "Vance")
TOWNS = tuple(
    f"{a}{b}" for a in ("Gren", "Hal", "Ner", "Pol", "Sten", "Vor") for b in ("by", "dorf", "ica")
)
COUNTRIES = ("Arvenia", "Belmark", "Corland", "Dunesia")
JOBS = ("carpenter", "botanist", "painter", "pilot")
FILMS = tuple(
    f"The {a} {b}" for a in ("Silent", "Crooked", "Last", "Golden") for b in ("Harbour", "Clock")
)


def people() -> list[str]:
    """Eighty names."""
    return [f"{first} {last}" for last in LAST for first in FIRST]


def triples() -> list[tuple[str, str, str]]:
    """About 400 statements as (subject, property id, object)."""
    rows = []
    for number, person in enumerate(people()):
        rows.append((person, "P19", TOWNS[number * 7 % len(TOWNS)]))
        rows.append((person, "P106", JOBS[number % len(JOBS)]))
        rows.append((person, "P569", str(1900 + number)))
        rows.append((person, "P108", f"{LAST[number % 8]} Works"))
    rows += [(town, "P17", COUNTRIES[number % 4]) for number, town in enumerate(TOWNS)]
    rows += [(town, "P1082", str(1000 + number)) for number, town in enumerate(TOWNS)]
    rows += [(country, "P36", TOWNS[number]) for number, country in enumerate(COUNTRIES)]
    rows += [(film, "P57", people()[number * 3]) for number, film in enumerate(FILMS)]
    return rows


def write_tsv(path: Path, rows: list[tuple[str, str, str]] | None = None) -> Path:
    """The graph as a table with a header."""
    lines = ["subject\trelation\tobject", *("\t".join(row) for row in rows or triples())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    """Rows as JSON lines."""
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


class Silent:
    """Progress that keeps the names of the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        """Keeps the text."""
        self.stages.append(text)

    def records(self, done: int, total: int) -> None:
        """Nothing."""


def make(out: Path, *files: Path, **settings: Any) -> BuildResult:
    """A build from these files with large dev and eval splits."""
    config = BuildConfig(files, out, dev=0.2, eval=0.2, memory="500MB", threads=1, **settings)
    return build(config, Silent())


def load(out: Path) -> list[dict[str, Any]]:
    """All records of a built set."""
    import pyarrow.parquet as pq

    return [
        row
        for path in sorted(out.glob("data/*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
