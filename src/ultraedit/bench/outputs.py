"""The folder a benchmark or an evaluation writes, and the table it prints."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.errors import ConfigError
from ultraedit.evaluation.files import (
    read_result,
    write_result,
    write_scores,
)
from ultraedit.io.atomic import new_file, write_text
from ultraedit.io.target import refuse_unwritable

if TYPE_CHECKING:
    from ultraedit.bench.store import TurnPoint
    from ultraedit.evaluation.evaluator import Baseline
    from ultraedit.evaluation.schema import Result

CONFIG, RESULT, REPORT, TURNS = "config.yaml", "result.json", "report.html", "turns.parquet"
FOLDERS = ("scores", "state")


def check(out: Path, config: dict[str, Any], digest: str | None, overwrite: bool) -> Result | None:
    """The finished result in `out`, None where there is work to do.  Writes nothing.

    `out` may be new, empty, or one that these very settings began; with `overwrite` also any other benchmark's.
    `digest` is the data's.  Raises ConfigError where it holds another benchmark, one on other data, or files that
    no benchmark wrote, or where there is work to do and it cannot be written.
    """
    if out.is_file():
        raise ConfigError(f"'{out}' is a file; name a folder with --out.")
    if not (out / CONFIG).is_file():
        if out.is_dir() and any(out.iterdir()):
            raise ConfigError(f"'{out}' holds files that are no benchmark's; choose another --out.")
        refuse_unwritable(out / CONFIG)
        return None
    if overwrite:
        refuse_unwritable(out / CONFIG)
        return None
    _same(out / CONFIG, config)
    if not (out / RESULT).is_file():
        refuse_unwritable(out / CONFIG)
        return None
    result = read_result(out / RESULT)
    if result.data.sha256 != digest:
        raise ConfigError(
            f"'{out}' holds results on other data of the same name; choose another --out, or pass --overwrite."
        )
    return result


def begin(out: Path, config: dict[str, Any], overwrite: bool) -> None:
    """Make `out` this benchmark's; `overwrite` removes an earlier one's files, and no other file."""
    import yaml

    try:
        if overwrite:
            _remove(out)
        if not (out / CONFIG).is_file():
            write_text(out / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise ConfigError(
            f"'{out}' cannot be written: {error.strerror}; choose another --out."
        ) from error


def _same(path: Path, config: dict[str, Any]) -> None:
    import yaml

    try:
        there = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        there = None
    if not isinstance(there, dict):
        raise ConfigError(f"'{path}' is not a benchmark's settings; choose another --out.")
    keys = {**config, **there}
    other = [key for key in keys if config.get(key) != there.get(key)]
    if other:
        key = other[0]
        raise ConfigError(
            f"'{path.parent}' holds a benchmark with other settings ({key}: {there.get(key)}, now "
            f"{config.get(key)}); choose another --out, or pass --overwrite."
        )


def _remove(out: Path) -> None:
    for name in (CONFIG, RESULT, REPORT, TURNS):
        (out / name).unlink(missing_ok=True)
    for name in FOLDERS:
        if (out / name).is_dir():
            shutil.rmtree(out / name)


def write_outputs(
    out: Path,
    result: Result,
    baseline: Baseline,
    turns: Sequence[tuple[str, int, Sequence[TurnPoint]]],
) -> None:
    """Everything but the per-checkpoint scores; `result.json` last, so that it stands for a finished one."""
    from ultraedit.evaluation.report import write_report

    rows = baseline.evaluation.rows
    write_scores(out / "scores" / "unedited.parquet", rows, preset="unedited", order=0, edits=None)
    if turns:
        _write_turns(out / TURNS, turns)
    write_report(out / REPORT, result)
    write_result(out / RESULT, result)


def _write_turns(path: Path, turns: Sequence[tuple[str, int, Sequence[TurnPoint]]]) -> None:
    """One row a turn: `preset`, `order`, then the fields of `TurnPoint`; `shift_norms` is a map."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"preset": preset, "order": order}
        | asdict(t)
        | {"shift_norms": list(t.shift_norms.items())}
        for preset, order, points in turns
        for t in points
    ]
    schema = pa.schema(
        [
            ("preset", pa.string()),
            ("order", pa.int64()),
            ("edits", pa.int64()),
            ("seconds", pa.float64()),
            ("edits_per_second", pa.float64()),
            ("resident_bytes", pa.int64()),
            ("learned", pa.int64()),
            ("probability_before", pa.float64()),
            ("probability_after", pa.float64()),
            ("shift_norms", pa.map_(pa.string(), pa.float64())),
            ("refused", pa.string()),
        ]
    )
    with new_file(path) as made:
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, made.absolute(), compression="zstd")  # "a:b" is no address


def title(data: str, edits: int, model: str) -> str:
    return f"{Path(data).name}, {edits:,} edits, {Path(model).name}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
