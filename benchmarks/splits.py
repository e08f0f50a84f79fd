"""Makes the rows that the reported tables edit, and the rows that settings are tuned on, from public files.

    python benchmarks/splits.py --report A.json [B.json ...] --tune C.json --edits 2000 --out DIR/zsre

DIR/zsre.jsonl has the first `--edits` rows of the report files, in their order, that share no subject and no prompt
with a tuning row; a later file only fills up, with subjects that did not occur before.  DIR/zsre_dev.jsonl has the
tuning rows: the last `--tune-rows` of the tuning file; with --tune-avoids-report they give way: only those that share
nothing with a report row.  --shuffle SEED mixes the report rows, so that a life does not see one file after another.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ultraedit import Record, read_records

WRITTEN = ("id", "prompt", "target", "subject", "rephrases", "locality", "portability", "old")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", nargs="+", required=True)
    parser.add_argument("--tune", nargs="+", required=True)
    parser.add_argument("--tune-rows", type=int, default=500)
    parser.add_argument("--tune-avoids-report", action="store_true")
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--shuffle", type=int, metavar="SEED")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    files = [list(read_records(f)) for f in options.report]
    tune = [r for f in options.tune for r in read_records(f)]
    if options.tune_avoids_report:
        report = _fill(files, [], options.edits)
        tune = _apart(tune, report)[: options.tune_rows]
    else:
        tune = tune[-options.tune_rows :]
        report = _fill(files, tune, options.edits)
    assert len(_apart(report, tune)) == len(report)
    if options.shuffle is not None:
        random.Random(options.shuffle).shuffle(report)
    for suffix, records in (("", report), ("_dev", tune)):
        path = options.out.with_name(f"{options.out.name}{suffix}.jsonl")
        _write(path, records)
        print(f"{path}: {len(records)} rows")


def _fill(files: Sequence[list[Record]], avoid: list[Record], count: int) -> list[Record]:
    """The first file's rows as they are, apart from `avoid`; later files add subjects not seen yet."""
    found = _apart(files[0], avoid)
    for more in files[1:]:
        new: dict[str | None, Record] = {}
        for record in _apart(more, avoid + found):
            new.setdefault(record.subject, record)
        found += new.values()
    return found[:count]


def _apart(records: Iterable[Record], others: Sequence[Record]) -> list[Record]:
    """Those that share no prompt and no subject with any of `others`."""
    subjects = {r.subject for r in others if r.subject}
    prompts = {r.prompt for r in others}
    return [r for r in records if r.subject not in subjects and r.prompt not in prompts]


def _write(path: Path, records: Sequence[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            row = {k: v for k, v in asdict(record).items() if k in WRITTEN and v}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
