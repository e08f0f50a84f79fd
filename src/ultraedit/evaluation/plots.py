"""The report's pictures as inline SVG whose colours are CSS variables, so that one picture serves
light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ultraedit.evaluation.schema import Result, Run
from ultraedit.evaluation.series import Series, of_preset, presets, series_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Stand-ins that no palette uses; each is replaced by a CSS variable in the finished SVG.
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
SERIES = tuple(f"#0a0b{i:02x}" for i in range(6))
_VARIABLES = {INK: "--ink", FAINT: "--grid", PAPER: "--card"} | {
    c: f"--c{i}" for i, c in enumerate(SERIES)
}
MARKERS = "os^Dvp"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

PANELS: tuple[tuple[str, str, str], ...] = (
    ("efficacy.token_accuracy", "Efficacy: token accuracy", "higher is better"),
    ("generalization.token_accuracy", "Generalization: token accuracy", "higher is better"),
    ("locality.token_accuracy", "Locality: token accuracy, gold", "unedited is the mark"),
    ("efficacy.generated_exact", "Efficacy: generated, exact", "higher is better"),
    ("generalization.generated_exact", "Generalization: generated, exact", "higher is better"),
    ("locality.agreement", "Locality: same text as unedited", "higher is better"),
    ("drift.perplexity_ratio", "Drift: perplexity / unedited", "1 is unmoved"),
    ("drift.agreement", "Drift: same first choice", "higher is better"),
    ("locality.kl", "Locality: KL to unedited, nats", "lower is better"),
)


def scores(result: Result) -> str | None:
    """Scores against the number of edits, a panel each; None when no run has a checkpoint."""
    panels = [(n, t, s) for n, t, s in PANELS if series_of(result, n)]
    if not panels:
        return None
    rows = -(-len(panels) // 3)
    with _canvas(11, 2.35 * rows, "scores") as (figure, out):
        for k, (name, title, sense) in enumerate(panels):
            axes = figure.add_subplot(rows, 3, k + 1)
            _panel(axes, result, name, title, sense)
            if k >= len(panels) - 3:
                axes.set_xlabel("edits")
        figure.tight_layout(w_pad=2.0, h_pad=1.4)
    return out[0]


def _panel(axes: Axes, result: Result, name: str, title: str, sense: str) -> None:
    start = result.unedited.figures.get(name)
    origin = start.value if start is not None else _AT_ZERO.get(name)
    for line in series_of(result, name):
        _draw(axes, line, presets(result).index(line.preset))
    if origin is not None:
        axes.axhline(origin, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_title(title, pad=14)
    axes.text(0, 1.025, sense, transform=axes.transAxes, fontsize=7, alpha=0.65)
    _edit_ticks(axes)
    axes.margins(y=0.12)


_AT_ZERO = {
    "locality.agreement": 1.0,
    "drift.perplexity_ratio": 1.0,
    "drift.agreement": 1.0,
    "locality.kl": 0.0,
}
"""What the unedited model scores against itself."""


def _draw(axes: Axes, line: Series, index: int) -> None:
    colour = SERIES[index % len(SERIES)]
    axes.fill_between(line.edits, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        line.edits,
        line.value,
        color=colour,
        linewidth=1.6,
        marker=MARKERS[index % len(MARKERS)],
        markersize=4,
        zorder=3,
    )


def heat_maps(result: Result) -> list[tuple[str, str]]:
    """(caption, SVG) per followed score: edit block by model time, one map per preset (its first
    order)."""
    firsts = [of_preset(result, p)[0] for p in presets(result)]
    names = dict.fromkeys((k.family, k.metric) for run in firsts for k in run.retention)
    made = []
    for family, metric in names:
        runs = [
            r for r in firsts if any((k.family, k.metric) == (family, metric) for k in r.retention)
        ]
        made.append((f"{family}: {metric.replace('_', ' ')}", _heat(runs, family, metric)))
    return made


def _heat(runs: Sequence[Run], family: str, metric: str) -> str:
    import numpy as np

    with _canvas(11, 3.1, f"heat-{family}-{metric}") as (figure, out):
        columns = max(3, len(runs))
        for k, run in enumerate(runs):
            kept = next(x for x in run.retention if (x.family, x.metric) == (family, metric))
            axes = figure.add_subplot(1, columns, k + 1)
            cells = np.array([[np.nan if v is None else v for v in row] for row in kept.matrix])
            count = len(kept.times)
            mesh = axes.pcolormesh(
                cells, cmap="cividis", vmin=0, vmax=1, edgecolors=PAPER, linewidth=1.5
            )
            ticks = [i + 0.5 for i in range(count)]
            few = ticks if count <= 10 else ticks[:: -(-count // 10)]
            axes.set_xticks(few, [_short(kept.times[int(i)]) for i in few])
            axes.set_yticks(few, [_short(kept.times[int(i)]) for i in few])
            axes.set_xlabel("model after … edits")
            axes.set_ylabel("edits made up to …" if k == 0 else "")
            axes.set_title(run.preset)
            axes.grid(False)
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0)
            if count <= 10:
                for i, j in zip(*np.nonzero(~np.isnan(cells)), strict=True):
                    shade = "#ffffff" if cells[i, j] < 0.55 else "#000000"
                    axes.text(
                        j + 0.5,
                        i + 0.5,
                        f"{cells[i, j]:.2f}",
                        ha="center",
                        va="center",
                        fontsize=7.5,
                        color=shade,
                    )
            if k == len(runs) - 1:
                scale = figure.colorbar(mesh, ax=axes, fraction=0.05, pad=0.04)
                scale.outline.set_visible(False)  # type: ignore[operator]
                scale.set_ticks([0, 0.5, 1])
                if scale.solids is not None:  # vectors, not the picture it would be by default
                    scale.solids.set_rasterized(False)
                    scale.solids.set_edgecolor("face")
        figure.tight_layout(w_pad=2.0)
    return out[0]


def ages(result: Result, name: str = "efficacy.token_accuracy") -> str | None:
    """The score at the end against the age of the edit; None where no run has it."""
    firsts = [of_preset(result, p)[0] for p in presets(result)]
    found = [
        (k, r.checkpoints[-1].by_age[name])
        for k, r in enumerate(firsts)
        if r.checkpoints and name in r.checkpoints[-1].by_age
    ]
    if not found:
        return None
    with _canvas(11, 2.5, "ages") as (figure, out):
        axes = figure.add_subplot(1, 1, 1)
        for k, buckets in found:
            middle = [round((b.youngest + b.oldest) / 2) for b in buckets]
            score = [b.score for b in buckets]
            _draw(
                axes,
                Series(
                    "",
                    middle,
                    [s.value for s in score],
                    [s.low for s in score],
                    [s.high for s in score],
                ),
                k,
            )
        axes.set_xlabel("age: edits made after the edit")
        axes.set_title("Token accuracy on the edit prompt at the end of the run, by age")
        _edit_ticks(axes)
        axes.margins(y=0.15)
        figure.tight_layout()
    return out[0]


CHAT_SHARES = (
    ("right", "right answers"),
    ("kept", "right answers kept"),
    ("same_first_token", "same first token"),
    ("instructions", "instructions followed"),
    ("instructions_kept", "instructions still followed"),
    ("loops", "answers that loop"),
    ("copies", "answers that copy a recent edit"),
    ("edits.bare", "edit, asked bare"),
    ("edits.system", "edit, behind a system message"),
    ("edits.after turns", "edit, after other turns"),
    ("edits.raw", "edit, as raw text"),
    ("edits.rephrase", "edit, first rephrase"),
)
"""Chat figures that are shares, from the top of the picture down."""


def chat(result: Result) -> str | None:
    """Shares in the chat, each preset beside the unedited model, and the KL by kind of request;
    None where no chat was measured."""
    found = [
        (k, run)
        for k, p in enumerate(presets(result))
        if (run := next((r for r in of_preset(result, p) if r.chat is not None), None))
    ]
    if not found:
        return None
    shares = [
        (name, words)
        for name, words in CHAT_SHARES
        if any(f"chat.{name}" in run.checkpoints[-1].figures for _, run in found)
    ]
    kinds = list(dict.fromkeys(kind for _, r in found if r.chat for kind in r.chat.by_kind))
    with _canvas(11, 3.6, "chat") as (figure, out):
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for row, (name, _) in enumerate(shares):
            for k, run in found:
                _share(left, run, f"chat.{name}", row + (k + 1) * 0.6 / (len(found) + 1) - 0.3, k)
            before = result.unedited.figures.get(f"chat.{name}")
            if before is not None:
                left.plot(before.value, row, "|", color=INK, markersize=13, markeredgewidth=1.4)
        left.set_yticks(range(len(shares)), [words for _, words in shares])
        left.invert_yaxis()
        left.set_xlim(-0.02, 1.02)
        left.set_title("Shares; the upright mark is the unedited model")
        thick = 0.8 / len(found)
        for at, (k, run) in enumerate(found):
            figures = {} if run.chat is None else run.chat.by_kind
            places = [i + at * thick for i, kind in enumerate(kinds) if kind in figures]
            values = [figures[kind]["kl"].value for kind in kinds if kind in figures]
            right.barh(places, values, height=thick * 0.9, color=SERIES[k % len(SERIES)])
        right.set_yticks([i + 0.4 - thick / 2 for i in range(len(kinds))], kinds)
        right.invert_yaxis()
        right.grid(axis="y", visible=False)
        right.set_title("KL to the unedited model on its own answers, nats a token")
        figure.tight_layout(w_pad=2.0)
    return out[0]


def _share(axes: Axes, run: Run, name: str, place: float, index: int) -> None:
    figure = run.checkpoints[-1].figures.get(name)
    if figure is None:
        return
    colour = SERIES[index % len(SERIES)]
    axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=1.2)
    axes.plot(figure.value, place, MARKERS[index % len(MARKERS)], color=colour, markersize=4.5)


def pace(result: Result) -> str | None:
    """Edits per second and resident memory over the run; None where nothing was recorded."""
    firsts = [(k, of_preset(result, p)[0]) for k, p in enumerate(presets(result))]
    firsts = [(k, r) for k, r in firsts if r.pace]
    if not firsts:
        return None
    with _canvas(11, 2.5, "pace") as (figure, out):
        left, right = figure.subplots(1, 2)
        for k, run in firsts:
            style: dict[str, Any] = {
                "color": SERIES[k % len(SERIES)],
                "linewidth": 1.6,
                "marker": MARKERS[k % len(MARKERS)],
                "markersize": 3.5 if len(run.pace) <= 30 else 0,
            }
            edits = [p.edits for p in run.pace]
            left.plot(edits, [p.edits_per_second for p in run.pace], **style)
            right.plot(edits, [p.resident_bytes / 2**30 for p in run.pace], **style)
        left.set_title("Throughput, edits per second (evaluation not counted)")
        right.set_title("Resident memory, GiB")
        for axes in (left, right):
            axes.set_xlabel("edits")
            _edit_ticks(axes)
            axes.set_ylim(0, 1.15 * max(max(line.get_ydata()) for line in axes.lines))  # type: ignore[arg-type, type-var]
        figure.tight_layout(w_pad=2.0)
    return out[0]


def modules(result: Result) -> str | None:
    """Relative shift of every edited module, at the end and over the run, and its largest singular
    values, where given."""
    firsts = [(k, of_preset(result, p)[0]) for k, p in enumerate(presets(result))]
    firsts = [(k, r) for k, r in firsts if r.modules]
    if not firsts:
        return None
    names = list(dict.fromkeys(m.name for _, r in firsts for m in r.modules))
    spectra = any(m.spectrum for _, r in firsts for m in r.modules)
    histories = any(m.history for _, r in firsts for m in r.modules)
    height = max(2.3, 0.8 + 0.16 * len(names) * len(firsts))
    with _canvas(11, height, "modules") as (figure, out):
        parts = list(figure.subplots(1, 1 + histories + spectra, squeeze=False)[0])
        bars, thick = parts[0], 0.8 / len(firsts)
        for at, (k, run) in enumerate(firsts):
            place = [names.index(m.name) + at * thick for m in run.modules]
            bars.barh(
                place,
                [m.relative for m in run.modules],
                height=thick * 0.9,
                color=SERIES[k % len(SERIES)],
            )
            if histories:
                for m in run.modules:
                    parts[1].plot(
                        [p.edits for p in run.pace],
                        m.history,
                        linewidth=1.2,
                        alpha=0.8,
                        color=SERIES[k % len(SERIES)],
                    )
            if spectra:
                for m in run.modules:
                    parts[-1].plot(
                        range(1, len(m.spectrum) + 1),
                        m.spectrum,
                        linewidth=1.2,
                        alpha=0.8,
                        color=SERIES[k % len(SERIES)],
                    )
        bars.set_yticks(
            [i + 0.4 - thick / 2 for i in range(len(names))], [_brief(n) for n in names]
        )
        bars.invert_yaxis()
        bars.grid(axis="y", visible=False)
        bars.set_title("‖W − W0‖ / ‖W0‖ at the end")
        if histories:
            parts[1].set_title("The same over the run, one line a module")
            parts[1].set_xlabel("edits")
        if spectra:
            parts[-1].set_yscale("log")
            parts[-1].set_title("Singular values of W − W0, one line a module")
            parts[-1].set_xlabel("rank")
        figure.tight_layout(w_pad=2.0)
    return out[0]


def _brief(name: str) -> str:
    """`model.layers.26.mlp.down_proj` as `26 mlp.down_proj`."""
    match = re.search(r"\.(\d+)\.(.+)$", name)
    return f"{match[1]} {match[2]}" if match else name


def _edit_ticks(axes: Axes) -> None:
    """From 0 on, few enough marks that "20,000" does not touch the next."""
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=5)
    axes.xaxis.set_major_formatter(lambda value, _: _short(round(value)))


def _short(count: int) -> str:
    return f"{count / 1000:g}k" if count >= 1000 else str(count)


@contextmanager
def _canvas(width: float, height: float, name: str) -> Iterator[tuple[Canvas, list[str]]]:
    """A figure of inches; on leaving, its SVG is the one item of the list.  No global state is
    left changed."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        out: list[str] = []
        yield figure, out
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        out.append(_inline(file.getvalue(), name))


def _inline(svg: str, name: str) -> str:
    """Cut to the `<svg>` element, ids made unique on the page, fixed size and colours made the
    page's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 role="img"', svg, count=1)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
