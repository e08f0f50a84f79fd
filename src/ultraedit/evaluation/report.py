"""`report.html`: one offline page made of a result file."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.evaluation import plots, series
from ultraedit.evaluation.chat.protocol import FIGURES as CHAT
from ultraedit.evaluation.chat.summary import FAMILY
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.protocol import ASKED, FAMILIES, METRICS
from ultraedit.evaluation.schema import Chat, Result, Sample, SideEffect
from ultraedit.extras import require
from ultraedit.io.atomic import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

_WORDS = {
    "token_accuracy": "token acc.",
    "generated_exact": "gen. exact",
    "generated_contains": "gen. contains",
    "rouge_l": "ROUGE-L",
}
_HEADLINE: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    *(
        (family.capitalize(), tuple((f"{family}.{m}", words) for m, words in _WORDS.items()))
        for family in ("efficacy", "generalization")
    ),
    *(
        (
            family.capitalize(),
            tuple((f"{family}.{m}", _WORDS[m]) for m in ("token_accuracy", "generated_exact")),
        )
        for family in ("persona", "portability")
    ),
    (
        "Locality",
        (
            ("locality.token_accuracy", "gold"),
            ("locality.agreement", "same text"),
            ("locality.kl", "KL"),
        ),
    ),
    ("Drift", (("drift.perplexity", "perplexity"), ("drift.agreement", "same token"))),
    (
        "Chat",
        (
            ("chat.kept", "right kept"),
            ("chat.kl", "KL"),
            ("chat.same_first_token", "same first"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of a table of figures."""

    name: str
    colour: int | None
    cells: list[Figure | None]


def write_report(path: Path, result: Result) -> None:
    """Renders `result` and writes the page atomically."""
    write_text(path, render(result))


def render(result: Result) -> str:
    """The page as one string of HTML: no script, no network, light and dark by the reader's own
    setting.  Raises ConfigError where the extra `bench` is not installed."""
    require("a report", "bench")
    groups = [
        (title, [(name, words) for name, words in columns if _measured(result, name)])
        for title, columns in _HEADLINE
    ]
    groups = [(title, columns) for title, columns in groups if columns]
    names = [name for _, columns in groups for name, _ in columns]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            r=result,
            groups=groups,
            headline=_table(result, names),
            presets=series.presets(result),
            orders=max(
                (len(series.of_preset(result, p)) for p in series.presets(result)), default=0
            ),
            scores=plots.scores(result),
            heat_maps=plots.heat_maps(result),
            kept=[
                (p, k)
                for p in series.presets(result)
                for k in series.of_preset(result, p)[0].retention
            ],
            ages=plots.ages(result),
            chat=_chat(result),
            chat_figures=_chat_figures(result),
            chat_picture=plots.chat(result),
            pace=plots.pace(result),
            modules=plots.modules(result),
            texts=_texts(result),
            effects=_effects(result),
            everything=_everything(result),
            ability=_ability(result),
            limits=limits(result),
            settings=_settings(result),
        )
    )


def limits(result: Result) -> list[str]:
    """What the numbers do not show, in sentences, as far as this result leaves it open."""
    orders = {run.order for run in result.runs}
    said = [
        "Token accuracy is teacher-forced: the model is handed the right answer up to each token. "
        "A user gets free generation; read the generated columns.",
        "Rephrases, and unrelated questions, are those of one data set, and are short. Other "
        "words, a "
        "conversation around them, or reasoning with the new fact may come out differently.",
        "Locality is a sample. What was damaged where nothing was asked is not seen, and agreement "
        "with the unedited model counts its mistakes as right.",
        "Drift is measured on one fixed English text: nothing is said of other languages, code, "
        "safety or tone.",
        "The intervals say how far another draw of edits from this source may lie. They hold for "
        "this "
        f"model ({result.model.parameters / 1e6:,.0f} M parameters), this seed"
        + (
            ", and this one order of the stream."
            if len(orders) < 2
            else f", and the {len(orders)} orders that were run."
        ),
    ]
    if result.kind == "bench":
        said.append(
            "“Immediate” means the first checkpoint after an edit, not the moment after it; the "
            "checkpoints are those of the heat map."
        )
    some = result.protocol.generated_records
    if some is not None:
        said.append(f"Free generation was asked of {some:,} records only, drawn by seed.")
    if not any(run.ability for run in result.runs):
        said.append("General ability (knowledge, arithmetic, reading) was not measured.")
    if not any(run.chat for run in result.runs):
        said.append(
            "Nothing is said of the other answers that a user sees in a chat: --chat measures them."
        )
    if result.protocol.form == "raw":
        said.append(
            "Questions were put in raw form. In the model's chat form every score may differ."
        )
    else:
        said.append("Questions were put in chat form. As plain text every score may differ.")
    return said


def _measured(result: Result, name: str) -> bool:
    return name in result.unedited.figures or any(
        name in point.figures for run in result.runs for point in run.checkpoints
    )


def _table(result: Result, names: list[str]) -> list[_Line]:
    rows = [_Line("unedited", None, [result.unedited.figures.get(n) for n in names])]
    for k, preset in enumerate(series.presets(result)):
        rows.append(_Line(preset, k, [series.final(result, preset, n) for n in names]))
    return rows


def _everything(result: Result) -> list[tuple[str, list[_Line]]]:
    """Every figure at the end of the run, a small table each, for those who want all of them."""
    found = dict.fromkeys(
        [*result.unedited.figures]
        + [n for run in result.runs for point in run.checkpoints for n in point.figures]
    )
    ordered = [f"{f}.{m}" for f in FAMILIES for m in METRICS] + [FAMILY + name for name in CHAT]
    rank = {name: k for k, name in enumerate(ordered)}
    by_rank = sorted(found, key=lambda n: rank.get(n, len(rank)))
    return [(name, _table(result, [name])) for name in by_rank]


def _ability(result: Result) -> tuple[list[str], list[_Line]]:
    tasks = list(
        dict.fromkeys([*result.unedited_ability] + [n for run in result.runs for n in run.ability])
    )
    rows = [_Line("unedited", None, [result.unedited_ability.get(t) for t in tasks])]
    for k, preset in enumerate(series.presets(result)):
        runs = [run for run in series.of_preset(result, preset) if run.ability]
        cells = [series.pooled([run.ability[t] for run in runs if t in run.ability]) for t in tasks]
        rows.append(_Line(preset, k, cells))
    return tasks, rows


def _texts(result: Result) -> list[tuple[Sample, list[tuple[str, str]]]]:
    """Questions with the unedited text and each preset's own."""
    made: dict[tuple[str, str, str], tuple[Sample, list[tuple[str, str]]]] = {}
    for preset in series.presets(result):
        for sample in series.of_preset(result, preset)[0].samples:
            at = sample.edit_id, sample.family, sample.prompt
            made.setdefault(at, (sample, []))[1].append((preset, sample.after))
    return list(made.values())


def _effects(result: Result) -> list[tuple[str, list[SideEffect]]]:
    return [
        (preset, run.side_effects[:10])
        for preset in series.presets(result)
        if (run := series.of_preset(result, preset)[0]).side_effects
    ]


def _chat(result: Result) -> list[tuple[str, Chat]]:
    """The chat of each preset that was measured."""
    found = (
        (p, next((r.chat for r in series.of_preset(result, p) if r.chat), None))
        for p in series.presets(result)
    )
    return [(preset, chat) for preset, chat in found if chat is not None]


def _chat_figures(result: Result) -> list[tuple[str, list[_Line]]]:
    """Every chat figure that was measured, a row each."""
    names = [name for name in CHAT if _measured(result, FAMILY + name)]
    return [(name, _table(result, [FAMILY + name])) for name in names]


def _settings(result: Result) -> list[tuple[str, list[tuple[str, str]]]]:
    """Everything needed to run it again, as tables of words."""
    parts: list[tuple[str, dict[str, Any]]] = [
        ("Model", result.model.model_dump()),
        ("Data", {k: v for k, v in result.data.model_dump().items() if v is not None}),
        (
            "Protocol",
            asdict(result.protocol)
            | {"generated_records": result.protocol.generated_records or "all"},
        ),
        ("Command", result.config),
        *((f"Preset {p}", series.of_preset(result, p)[0].settings) for p in series.presets(result)),
        ("Versions", dict(result.versions)),
        (
            "Hardware",
            result.hardware.model_dump(exclude={"memory_bytes"})
            | {"memory": f"{result.hardware.memory_bytes / 2**30:.1f} GiB"},
        ),
    ]
    return [(title, [(k, _word(v)) for k, v in items.items()]) for title, items in parts if items]


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_word(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def number(value: float) -> str:
    """Three significant figures or so, as a table wants them: .906 as 0.906, 58.7, 1,234."""
    size = abs(value)
    if size >= 1e6:
        return f"{value:.2e}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 2 else f"{value:.3f}"


def interval(figure: Figure) -> str:
    """Both ends, without the zero before the point, for the small print."""
    ends = (number(x) for x in (figure.low, figure.high))
    return "–".join(re.sub(r"^(-?)0\.", r"\1.", x).replace("-", "−") for x in ends)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ultraedit.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = number
    made.filters["interval"] = interval
    made.globals["asked"] = ASKED
    return made
