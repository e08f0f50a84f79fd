"""A study: many settings under one budget on a development slice, then the best of them on rows kept apart.

Both parts are benchmarks of their own, in `development/` and `report/`, so that a killed study goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultraedit.bench.bench import Observer, run_bench
from ultraedit.bench.config import Config
from ultraedit.bench.scoring import Scoring
from ultraedit.bench.stream import Known
from ultraedit.data.forms.plain import plain_row
from ultraedit.data.read import read_records
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError, DataError
from ultraedit.extras import require
from ultraedit.io.target import refuse_unwritable
from ultraedit.model.form import FormChoice
from ultraedit.settings import EditSettings, Loading

if TYPE_CHECKING:
    from ultraedit.evaluation.schema import Result

Value = float | int | bool | str
HARM = "drift.perplexity_ratio"
GOALS = (
    "generalization.generated_exact",
    "generalization.token_accuracy",
    "efficacy.generated_exact",
    "efficacy.token_accuracy",
)
"""What finalists are chosen by: the mean of the first two, or of the last two where the data has no rephrases."""


class Grid(BaseModel):
    """A grid file: what is tried, on which rows, within which budget."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str
    dtype: str = "auto"
    form: FormChoice = "raw"
    development: tuple[int, int]
    """First row of the data and the one after the last, counted from 0, that settings are tuned on."""
    report: tuple[int, int]
    """The rows that finalists are scored on."""
    edits: int = Field(300, ge=1)
    """Edits of each setting on the development rows."""
    report_edits: int = Field(1000, ge=1)
    turn_size: int = Field(100, ge=1)
    presets: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    grid: dict[str, Value | list[Value]] = Field(default_factory=dict)
    """`preset: NAME` and a list of values for any of its settings: all combinations are tried."""
    finalists: int | tuple[str, ...] = 3
    """How many of the settings go into the report, or which."""
    always: tuple[str, ...] = ()
    """Settings among those tried that go into the report whatever they score, as references."""
    most_harm: float = 1.1
    """Largest perplexity ratio of a finalist that is chosen by score."""
    orders: int = Field(3, ge=1)
    checkpoints: int = Field(5, ge=1)
    score: int = Field(500, ge=1)
    generate: int = Field(100, ge=0)
    seconds: float | None = None
    """No setting is begun once a start of the study has taken this long; started again, it goes on."""
    seed: int = 0

    def specs(self) -> tuple[str, ...]:
        """Every preset with its settings, as `bench --preset` takes it."""
        found = dict.fromkeys(self.presets)
        if self.grid:
            name = self.grid.get("preset", "default")
            axes = {k: v for k, v in self.grid.items() if k != "preset"}
            lists = [v if isinstance(v, list) else [v] for v in axes.values()]
            for values in product(*lists):
                parts = [f"{k}={_word(v)}" for k, v in zip(axes, values, strict=True)]
                found[f"{name}:{','.join(parts)}" if parts else str(name)] = None
        return tuple(found)


def read_grid(path: Path) -> Grid:
    """Raises ConfigError for a file that is no grid, in one sentence."""
    import yaml

    try:
        grid = Grid.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"'{path}' cannot be read as YAML.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "the file"
        raise ConfigError(f"'{path}': {where}: {first['msg'].lower()}.") from error
    if not grid.specs() and not grid.baselines:
        raise ConfigError(f"'{path}' tries nothing; give presets, baselines or a grid.")
    for name, (first_row, end) in (("development", grid.development), ("report", grid.report)):
        if not 0 <= first_row < end:
            raise ConfigError(f"'{path}': {name} is [{first_row}, {end}], which holds no row.")
    tried = {*grid.specs(), *grid.baselines}
    named = grid.finalists if isinstance(grid.finalists, tuple) else ()
    for spec in (*grid.always, *named):
        if spec not in tried:
            raise ConfigError(
                f"'{path}': '{spec}' goes into the report and is not among those tried."
            )
    return grid


@dataclass(frozen=True)
class Study:
    """What came out."""

    development: Result
    report: Result | None
    """None while the development part is unfinished, or where nothing is to be reported."""
    unfinished: tuple[str, ...]
    """Settings that the budget of seconds did not reach."""
    refused: int
    """Rows of the report slice that share a prompt or a subject with the development rows, and are left out."""


def run_study(
    grid: Grid,
    data: str,
    out: Path,
    observer: Observer,
    *,
    loading: Loading | None = None,
    overwrite: bool = False,
) -> Study:
    """Run what is not done yet.  Raises ConfigError and DataError as `run_bench` does; the dtype is the grid's."""
    started = time.monotonic()
    require("a study", "bench")
    if out.is_file():
        raise ConfigError(f"'{out}' is a file; name a folder with --out.")
    refuse_unwritable(out / "development.jsonl")

    def proceed() -> bool:
        return grid.seconds is None or time.monotonic() - started < grid.seconds

    tuned_on, reported_on, refused = split(grid, data)
    if len(tuned_on) < grid.edits:
        raise DataError(
            f"the development rows hold {len(tuned_on):,} records and edits is {grid.edits:,}; name more rows."
        )
    specs = grid.specs()
    base = Config(
        model=grid.model,
        data=str(_write(out / "development.jsonl", tuned_on)),
        edits=grid.edits,
        turn_size=grid.turn_size,
        preset=specs,
        baseline=grid.baselines,
        checkpoints=1,
        settings=EditSettings(form=grid.form),
        scoring=Scoring(score=grid.score, generate=grid.generate),
        seed=grid.seed,
        loading=replace(loading or Loading(), dtype=grid.dtype),
    )
    base.rows()  # a bad setting is told before anything is loaded
    development = run_bench(
        base, out / "development", observer, overwrite=overwrite, proceed=proceed
    )
    done = {run.preset for run in development.runs}
    unfinished = tuple(s for s in (*specs, *grid.baselines) if s not in done)
    if unfinished or grid.finalists == 0:
        return Study(development, None, unfinished, refused)
    chosen = finalists(grid, development)
    if len(reported_on) < grid.report_edits:
        raise DataError(
            f"the report rows hold {len(reported_on):,} records that share nothing with the development rows and "
            f"report_edits is {grid.report_edits:,}; name more rows."
        )
    final = replace(
        base,
        data=str(_write(out / "report.jsonl", reported_on)),
        edits=grid.report_edits,
        preset=tuple(s for s in chosen if s in specs),
        baseline=tuple(s for s in chosen if s in grid.baselines),
        checkpoints=grid.checkpoints,
        orders=grid.orders,
    )
    report = run_bench(final, out / "report", observer, overwrite=overwrite, proceed=proceed)
    counts = {s: sum(run.preset == s for run in report.runs) for s in chosen}
    left = tuple(f"{s} (report)" for s, n in counts.items() if n < grid.orders)
    return Study(development, report, left, refused)


def split(grid: Grid, data: str) -> tuple[list[Record], list[Record], int]:
    """(development records, report records, how many of the latter's rows were refused).

    A row of the report slice that shares its prompt or subject with any development row is refused: what was tuned
    on is not reported.  Raises DataError where a slice ends beyond the data.
    """
    end = max(grid.development[1], grid.report[1])
    records: list[Record] = []
    for record in read_records(data, strict=False):
        records.append(record)
        if len(records) == end:
            break
    if len(records) < end:
        raise DataError(f"'{data}' holds {len(records):,} records and the grid names row {end:,}.")
    tuned_on = records[slice(*grid.development)]
    known = Known(tuned_on)
    slice_ = records[slice(*grid.report)]
    reported_on = [r for r in slice_ if not known.has(r)]
    return tuned_on, reported_on, len(slice_) - len(reported_on)


def finalists(grid: Grid, development: Result) -> tuple[str, ...]:
    """Those named, or the best by `goal` among those whose harm is bearable; and `always`."""
    from ultraedit.evaluation.series import final, presets

    if isinstance(grid.finalists, tuple):
        return tuple(dict.fromkeys((*grid.finalists, *grid.always)))
    names = presets(development)
    harm = {n: f.value for n in names if (f := final(development, n, HARM)) is not None}
    ranked = sorted(names, key=lambda n: (harm[n] > grid.most_harm, -goal(development, n)))
    return tuple(dict.fromkeys((*ranked[: grid.finalists], *grid.always)))


def goal(result: Result, name: str) -> float:
    """What a setting is chosen by."""
    from ultraedit.evaluation.series import final

    for pair in (GOALS[:2], GOALS[2:]):
        found = [f.value for g in pair if (f := final(result, name, g)) is not None]
        if found:
            return sum(found) / len(found)
    raise DataError(f"nothing was scored for '{name}'.")


def _write(path: Path, records: Sequence[Record]) -> Path:
    from ultraedit.io.atomic import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(plain_row(r), ensure_ascii=False) + "\n" for r in records]
    write_text(path, "".join(lines))
    return path


def _word(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
