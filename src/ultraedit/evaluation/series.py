"""Series for the plots: runs of one preset in several orders become one line with a band."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.schema import Result, Run


@dataclass(frozen=True, slots=True)
class Series:
    """One preset's score over the run."""

    preset: str
    edits: list[int]
    value: list[float]
    low: list[float]
    high: list[float]


def presets(result: Result) -> list[str]:
    """Names of the presets, in the order in which they were run."""
    return list(dict.fromkeys(run.preset for run in result.runs))


def of_preset(result: Result, preset: str) -> list[Run]:
    return [run for run in result.runs if run.preset == preset]


def pooled(figures: list[Figure]) -> Figure | None:
    """The mean over orders; the interval is the envelope of theirs, so that order and sampling
    both show."""
    if not figures:
        return None
    first = figures[0]
    return Figure(
        math.fsum(f.value for f in figures) / len(figures),
        min(f.low for f in figures),
        max(f.high for f in figures),
        first.n,
        first.interval,
        first.protocol,
    )


def final(result: Result, preset: str, name: str) -> Figure | None:
    """A preset's figure at its last checkpoint, pooled over orders."""
    last = [run.checkpoints[-1].figures.get(name) for run in of_preset(result, preset)]
    return pooled([f for f in last if f is not None])


def series_of(result: Result, name: str) -> list[Series]:
    """One series per preset that has the figure `name` at any checkpoint."""
    made = []
    for preset in presets(result):
        at: dict[int, list[Figure]] = {}
        for run in of_preset(result, preset):
            for point in run.checkpoints:
                if name in point.figures:
                    at.setdefault(point.edits, []).append(point.figures[name])
        means = [(t, f) for t in sorted(at) if (f := pooled(at[t])) is not None]
        if means:
            made.append(
                Series(
                    preset,
                    [t for t, _ in means],
                    [f.value for _, f in means],
                    [f.low for _, f in means],
                    [f.high for _, f in means],
                )
            )
    return made
