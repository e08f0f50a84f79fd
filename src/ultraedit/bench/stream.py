"""The stream of edits: which records, in which order, and which of them are scored.

The records are read anew for every pass, so memory does not grow with their number, but for 16 bytes and a list
entry each; only shuffled orders hold the prompts and targets (not the questions) of the whole stream.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.data.read import read_records
from ultraedit.data.record import Record
from ultraedit.data.report import ReadReport
from ultraedit.data.sources import shards_of
from ultraedit.editing.assemble import encode_record
from ultraedit.errors import ConfigError, DataError
from ultraedit.io.digest import sha256_file, sha256_text
from ultraedit.methods.stableedit import StableEdit
from ultraedit.model.text import PromptEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ultraedit.bench.config import Config
    from ultraedit.bench.schedule import MethodSpec
    from ultraedit.model.form import PromptForm


@dataclass(frozen=True)
class Stream:
    """The first usable records of a source."""

    source: str | Sequence[Record]
    form: str
    """The data form it was read as."""
    rows: int
    """Usable records read: all of a file's; of a folder of shards or a hub data set, up to the last one edited."""
    unusable: int
    """Rows that could not be read."""
    too_long: int
    """Records that do not fit into the model's context; left out."""
    edits: int
    refused: frozenset[int]
    """Ordinals, among the records read, of those left out."""
    repeats: tuple[tuple[int, ...], ...]
    """Indices of the records that share a prompt, in file order."""
    superseded: frozenset[int]
    """Indices of records whose prompt gets another target from a later record.  They are edited like any other
    and never scored: their own target is not what the model should say at the end."""

    def records(self, skip: int = 0) -> Iterator[Record]:
        """The stream in file order, from record `skip` on."""
        read = enumerate(read_records(self.source, strict=False))
        usable = (record for ordinal, record in read if ordinal not in self.refused)
        return islice(usable, skip, self.edits)

    def places(self, order: int, seed: int) -> list[int]:
        """places[p] is the index of the record edited at position p; order 0 is the file's own.

        Records of one prompt keep their file order in every shuffle, so that the same ones are superseded.
        """
        places = list(range(self.edits))
        if order == 0:
            return places
        random.Random(f"order {order} of seed {seed}").shuffle(places)
        position = {index: p for p, index in enumerate(places)}
        for group in self.repeats:
            for index, p in zip(group, sorted(position[i] for i in group), strict=True):
                places[p] = index
        return places

    def in_order(self, places: Sequence[int], skip: int = 0) -> Iterator[Record]:
        """The stream at the positions from `skip` on; questions are left out of shuffled records."""
        if all(p == index for p, index in enumerate(places)):
            yield from self.records(skip)
            return
        held = [
            replace(r, rephrases=(), locality=(), personas=(), portability=())
            for r in self.records()
        ]
        for index in places[skip:]:
            yield held[index]

    def scored(self, times: Sequence[int], most: int, seed: int) -> list[tuple[int, Record]]:
        """(index, record) of those asked about: all that are not superseded, or a sample of `most`.

        The sample is drawn by seed, as evenly as can be from the blocks of edits between the checkpoints `times`.
        """
        if most < 1:
            raise ConfigError(f"--score is {most}; score at least 1 record.")
        blocks = [
            [i for i in range(start, end) if i not in self.superseded]
            for start, end in zip((0, *times[:-1]), times, strict=True)
        ]
        draw = random.Random(f"scored records of seed {seed}")
        chosen: set[int] = set()
        room, left = most, len(blocks)
        for block in sorted(
            blocks, key=len
        ):  # what a small block leaves over goes to the larger ones
            count = min(len(block), room // left if left > 1 else room)
            chosen.update(draw.sample(block, count))
            room, left = room - count, left - 1
        return [(i, r) for i, r in enumerate(self.records()) if i in chosen]


def open_stream(
    source: str | Sequence[Record],
    edits: int | None,
    tokenizer: PreTrainedTokenizerBase,
    form: PromptForm,
    context: int,
) -> Stream:
    """Read the source once and note what must be known before the first edit.

    `source`: a name as on the command line, or records in memory.  `edits`: how many records to take; None for all.
    Raises DataError for a source without a usable record or with fewer than `edits`, and ConfigError for `edits`
    below 1.
    """
    if edits is not None and edits < 1:
        raise ConfigError(f"--edits is {edits}; it must be at least 1.")
    encoder = PromptEncoder(tokenizer, form)
    report = ReadReport()
    refused: set[int] = set()
    seen: dict[bytes, list[tuple[int, bytes]]] = {}
    taken = 0
    named = isinstance(source, str)
    whole = not named or (not source.startswith("hf:") and Path(source).is_file())
    name = f"'{source}'" if named else "what was given"
    for ordinal, record in enumerate(read_records(source, strict=False, report=report)):
        if edits is not None and taken == edits:
            if whole:
                continue  # only counted
            break
        try:
            encode_record(record, encoder, context)
        except DataError:
            refused.add(ordinal)
            continue
        seen.setdefault(_digest(record.prompt), []).append((taken, _digest(record.target)))
        taken += 1
    if taken == 0:
        raise DataError(
            f"{name} holds no record that fits into the model's context of {context} tokens."
        )
    if edits is not None and taken < edits:
        raise DataError(
            f"{name} holds {taken:,} usable records and --edits is {edits:,}; use --edits {taken}."
        )
    groups = [group for group in seen.values() if len(group) > 1]
    return Stream(
        source=source,
        form=report.form or "records",
        rows=report.records - len(refused) if whole else taken,
        unusable=report.unusable,
        too_long=len(refused),
        edits=taken,
        refused=frozenset(refused),
        repeats=tuple(tuple(i for i, _ in group) for group in groups),
        superseded=frozenset(
            i
            for group in groups
            for k, (i, target) in enumerate(group)
            if any(later != target for _, later in group[k + 1 :])
        ),
    )


def warm_up_stream(
    config: Config,
    rows: Sequence[MethodSpec],
    stream: Stream,
    tokenizer: PreTrainedTokenizerBase,
    form: PromptForm,
    context: int,
) -> Stream | None:
    """The records of `--warm-up`, None without.

    Raises ConfigError where no row uses them, or where one shares its prompt or subject with a streamed record: what
    is scored must not have been edited before.
    """
    if config.warm_up is None:
        return None
    if not any(isinstance(row.method, StableEdit) for row in rows):
        raise ConfigError(
            f"--warm-up '{config.warm_up}' is used by no row; only stableedit is warmed up."
        )
    warm = open_stream(config.warm_up, None, tokenizer, form, context)
    shared = Known(stream.records())
    for record in warm.records():
        if shared.has(record):
            raise ConfigError(
                f"--warm-up '{config.warm_up}' shares the prompt or the subject of \"{record.prompt}\" with the "
                "benchmark's records; leave such records out."
            )
    return warm


class Known:
    """Prompts and subjects of some records, to keep records that are tuned on apart from those that are scored."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._prompts: set[str] = set()
        self._subjects: set[str] = set()
        for record in records:
            self._prompts.add(_plain(record.prompt))
            if record.subject and record.subject.strip():
                self._subjects.add(_plain(record.subject))

    def has(self, record: Record) -> bool:
        """Whether the record shares its prompt or its subject with one of these."""
        subject = _plain(record.subject or "")
        return _plain(record.prompt) in self._prompts or subject in self._subjects


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def source_digest(source: str | Sequence[Record]) -> str | None:
    """SHA-256 of a file; of a folder, of the names and digests of its Parquet shards; of records in memory, of their
    fields as JSON; None for the hub."""
    if not isinstance(source, str):
        lines = (json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in source)
        return sha256_text("".join(lines))
    if source.startswith("hf:"):
        return None
    path = Path(source)
    if path.is_file():
        return sha256_file(path)
    return sha256_text("".join(f"{s.name} {sha256_file(s)}\n" for s in shards_of(path)))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()
