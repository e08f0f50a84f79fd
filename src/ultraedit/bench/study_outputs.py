"""The table and the plot of a study."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.bench.study import HARM, Study
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.series import final, of_preset, presets
from ultraedit.extras import require
from ultraedit.io.atomic import new_file, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ultraedit.evaluation.schema import Result

COLUMNS = (
    ("efficacy.token_accuracy", "edit, tokens"),
    ("generalization.token_accuracy", "rephrase, tokens"),
    ("efficacy.generated_exact", "edit, said"),
    ("generalization.generated_exact", "rephrase, said"),
    ("locality.token_accuracy", "unrelated, gold"),
    ("locality.agreement", "unrelated, same text"),
    (HARM, "perplexity ratio"),
    ("drift.agreement", "text, same token"),
)
SCORES = (
    ("generalization.generated_exact", "rephrases said exactly"),
    ("generalization.token_accuracy", "rephrases, token accuracy"),
)
COLOURS = ("#1b6ca8", "#c8553d", "#4c956c", "#8e5ea2", "#b8860b", "#3a3a3a")
MARKERS = "os^Dvp"


def write_study(out: Path, study: Study) -> None:
    """`table.csv`, `table.md`, and a plot of each part as PNG and SVG.  Raises ConfigError without matplotlib."""
    require("a study", "bench")
    parts = [("development", study.development)]
    if study.report is not None:
        parts.append(("report", study.report))
    rows = [row for name, result in parts for row in _rows(name, result)]
    write_text(out / "table.csv", _csv(rows))
    write_text(out / "table.md", _markdown(study, parts))
    for name, result in parts:
        if result.runs:
            _plot(out / name, result)


def front(result: Result, score: str, harm: str = HARM) -> list[str]:
    """The settings that no other one beats on both: no more harm and a better score, or less harm and no worse."""
    points = {n: p for n in presets(result) if (p := _point(result, n, score, harm)) is not None}
    kept = []
    for name, (x, y) in points.items():
        beaten = any(
            a.value <= x.value and b.value >= y.value and (a.value < x.value or b.value > y.value)
            for other, (a, b) in points.items()
            if other != name
        )
        if not beaten:
            kept.append(name)
    return kept


def _point(result: Result, name: str, score: str, harm: str) -> tuple[Figure, Figure] | None:
    x, y = final(result, name, harm), final(result, name, score)
    return None if x is None or y is None else (x, y)


CsvRow = dict[str, object]


def _rows(part: str, result: Result) -> list[CsvRow]:
    """One row a setting, the unedited model first."""
    fronts = {score: front(result, score) for score, _ in SCORES}
    found: list[CsvRow] = [{"part": part, "row": "unedited", "edits": 0}]
    for name, _ in COLUMNS:
        _put(found[0], name, result.unedited.figures.get(name))
    for preset in presets(result):
        runs = of_preset(result, preset)
        row: CsvRow = {"part": part, "row": preset, "edits": result.data.edits, "orders": len(runs)}
        row["edits per second"] = round(
            sum(r.pace[-1].edits for r in runs) / sum(r.pace[-1].seconds for r in runs), 2
        )
        for score, names in fronts.items():
            row[f"on the front of {score}"] = preset in names
        for name, _ in COLUMNS:
            _put(row, name, final(result, preset, name))
        ages = [r.checkpoints[-1].by_age.get("efficacy.token_accuracy") for r in runs]
        for key, place in (("first tenth", -1), ("last tenth", 0)):  # buckets: newest first
            values = [a[place].score.value for a in ages if a]
            if values:
                row[f"efficacy.token_accuracy, {key}"] = sum(values) / len(values)
        row["alarms"] = sum(len(r.alarms) for r in runs)
        found.append(row)
    return found


def _put(row: CsvRow, name: str, figure: Figure | None) -> None:
    if figure is not None:
        row |= {name: figure.value, f"{name} low": figure.low, f"{name} high": figure.high}


def _csv(rows: list[CsvRow]) -> str:
    names = list(dict.fromkeys(key for row in rows for key in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _markdown(study: Study, parts: list[tuple[str, Result]]) -> str:
    said: list[str] = []
    for name, result in parts:
        columns = [c for c in COLUMNS if _measured(result, c[0])]
        marked = front(result, SCORES[0][0]) or front(result, SCORES[1][0])
        orders = max((len(of_preset(result, p)) for p in presets(result)), default=1)
        said += [
            f"## {name}: {result.data.edits:,} edits, {orders} order{'s' if orders > 1 else ''}",
            "",
            "| | " + " | ".join(words for _, words in columns) + " |",
            "|---|" + "---|" * len(columns),
        ]
        rows = [("unedited", [result.unedited.figures.get(n) for n, _ in columns])]
        rows += [(p, [final(result, p, n) for n, _ in columns]) for p in presets(result)]
        for row, cells in rows:
            label = f"**{row}**" if row in marked else row
            said.append(f"| {label} | " + " | ".join(_cell(c) for c in cells) + " |")
        said += [
            "",
            "95 % intervals in brackets; bold: no other row is better at no more harm.",
            "",
        ]
    if study.unfinished:
        said += [f"Not run within the budget: {', '.join(study.unfinished)}.", ""]
    said.append(
        f"{study.refused:,} rows of the report slice share a prompt or a subject with the development rows and were "
        "left out."
    )
    return "\n".join(said) + "\n"


def _measured(result: Result, name: str) -> bool:
    return any(final(result, p, name) is not None for p in presets(result))


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _plot(stem: Path, result: Result) -> None:
    """Score against harm, two of each; one number a setting, the front as a line, and a key beside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    names = presets(result)
    scores = [s for s in SCORES if _measured(result, s[0])] or [
        ("efficacy.token_accuracy", "edits, token accuracy")
    ]
    canvas = Canvas(figsize=(10, 0.6 + 3.4 * len(scores) + 0.18 * len(names)), layout="constrained")
    FigureCanvasAgg(canvas)
    panels = canvas.subplots(len(scores), 2, squeeze=False)
    for line, (score, words) in zip(panels, scores, strict=True):
        _panel(line[0], result, score, HARM, names)
        _panel(line[1], result, score, "drift.agreement", names)
        line[0].set_ylabel(words)
    panels[-1][0].set_xlabel("perplexity on text / unedited (1: unharmed)")
    panels[-1][1].set_xlabel("1 - agreement with unedited on text (0: unharmed)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower left", fontsize=8, frameon=False)
    canvas.suptitle(
        f"{result.title}: more learned is up, more harm is right; bars are 95 % intervals",
        fontsize=9,
    )
    for ending in ("png", "svg"):
        with new_file(stem.with_suffix(f".{ending}")) as made:
            metadata = {"Date": None} if ending == "svg" else None
            canvas.savefig(made, format=ending, dpi=130, metadata=metadata)


def _panel(axes: Axes, result: Result, score: str, harm: str, names: list[str]) -> None:
    drawn: dict[str, tuple[float, float]] = {}
    for k, name in enumerate(names):
        point = _point(result, name, score, harm)
        if point is None:
            continue
        x, y = point
        value, low, high = x.value, x.low, x.high
        if harm == "drift.agreement":
            value, low, high = 1 - x.value, 1 - x.high, 1 - x.low
        drawn[name] = (value, y.value)
        axes.errorbar(
            value, y.value,
            xerr=[[max(value - low, 0)], [max(high - value, 0)]],
            yerr=[[max(y.value - y.low, 0)], [max(y.high - y.value, 0)]],
            fmt=MARKERS[k // len(COLOURS) % len(MARKERS)], color=COLOURS[k % len(COLOURS)],
            markersize=5, elinewidth=0.7, alpha=0.85, label=f"{k + 1}  {name}",
        )  # fmt: skip
        axes.annotate(str(k + 1), (value, y.value), (4, 4), textcoords="offset points", fontsize=8)
    best = sorted(drawn.values(), key=lambda point: (point[0], -point[1]))
    line: list[tuple[float, float]] = []
    for x_, y_ in best:
        if not line or y_ > line[-1][1]:
            line.append((x_, y_))
    axes.step(*zip(*line, strict=True), where="post", color="#999999", linewidth=0.9, zorder=1)
    before = result.unedited.figures.get(score)
    if before is not None:
        axes.axhline(before.value, color="#999999", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate("unedited", (1, before.value), (-2, 2), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", fontsize=7, color="#666666")  # fmt: skip
    if harm == HARM and max((x for x, _ in drawn.values()), default=1) > 3:
        axes.set_xscale("log")  # a collapsed setting would squeeze all others together
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
