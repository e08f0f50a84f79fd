"""The settings of one build.  Knows nothing of files' contents."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ultraedit.errors import ConfigError

Kind = Literal["new", "counterfact", "update"]
FORMAT = 2
"""Version of the output schema and of the work database."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """What to build, from what, and within which limits."""

    triples: tuple[Path, ...]
    """Files of triples and of labels, in any of the forms that `sources.sniff` knows; the order
    matters."""
    out: Path
    size: int = 2_000_000
    """Most records to write."""
    kind: Kind = "new"
    seed: int = 0
    conflicts: float = 0.0
    """Share of the edits that a second, contradicting edit follows, 0 to 1."""
    dev: float = 0.05
    """Share of subjects in the dev split."""
    eval: float = 0.1
    """Share of subjects in the eval split; the rest is train."""
    max_subject_chars: int = 80
    max_answer_chars: int = 60
    max_answer_words: int = 8
    memory: str = "3GB"
    """Limit given to DuckDB; beyond it, it spills to disk.  The process needs about 1 GB more."""
    threads: int = 2
    rewrite: str | None = None
    """URL of an OpenAI-compatible server, or a folder with a local model, that rewords the
    rephrases."""
    rewrite_model: str | None = None
    published_json: bool = False
    """Also write the published form, one JSON list a split."""
    note: str = ""
    """A sentence for the head of the card (where the graph comes from)."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` where a setting is out of range."""
        if not self.triples:
            raise ConfigError("No triples given; name at least one file with --triples.")
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"--kind {self.kind!r} is unknown; choose new, counterfact or update."
            )
        if self.size < 1:
            raise ConfigError(f"--size {self.size} is too small; ask for at least 1 record.")
        if not 0 <= self.conflicts <= 1:
            raise ConfigError(
                f"--conflicts {self.conflicts} is no share; give a number from 0 to 1."
            )
        if self.dev < 0 or self.eval < 0 or self.dev + self.eval >= 1:
            raise ConfigError(
                f"--dev {self.dev} and --eval {self.eval} leave nothing to train on; "
                "their sum must be below 1."
            )
        if self.rewrite and self.rewrite.startswith("http") and not self.rewrite_model:
            raise ConfigError(
                "--rewrite with a server needs the model's name; add --rewrite-model NAME."
            )

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides the bytes of the result, for telling whether work can be
        resumed."""
        settings = asdict(self)
        for key in ("out", "memory", "threads"):
            del settings[key]
        settings["triples"] = [[p.name, p.stat().st_size] for p in self.triples]
        settings["format"] = FORMAT
        return settings
