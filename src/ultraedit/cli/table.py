"""The table of scores that `bench` and `eval` print: the unedited model first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ultraedit.cli.screen import ScoreTable

if TYPE_CHECKING:
    from ultraedit.evaluation.intervals import Figure
    from ultraedit.evaluation.schema import Result

_LINES = (
    ("efficacy.token_accuracy", "edit, token accuracy"),
    ("efficacy.generated_exact", "edit, generated exact"),
    ("efficacy.generated_contains", "edit, generated contains"),
    ("generalization.token_accuracy", "rephrase, token accuracy"),
    ("generalization.generated_exact", "rephrase, generated exact"),
    ("persona.token_accuracy", "persona, token accuracy"),
    ("portability.token_accuracy", "multi-hop, token accuracy"),
    ("locality.token_accuracy", "locality, gold"),
    ("locality.agreement", "locality, same text"),
    ("locality.kl", "locality, KL in nats"),
    ("drift.perplexity", "drift, perplexity"),
    ("chat.right", "chat, right answers"),
    ("chat.kept", "chat, right answers kept"),
    ("chat.kl", "chat, KL on own answers"),
    ("chat.same_first_token", "chat, same first token"),
    ("chat.instructions", "chat, instructions followed"),
    ("chat.instructions_kept", "chat, instructions still followed"),
    ("chat.copies", "chat, copies a recent edit"),
    ("chat.words", "chat, words an answer"),
    ("chat.loops", "chat, answers that loop"),
    ("chat.edits.bare", "chat, edit asked bare"),
    ("chat.edits.system", "chat, edit behind a system message"),
    ("chat.edits.after turns", "chat, edit after other turns"),
    ("chat.edits.raw", "chat, edit as raw text"),
    ("chat.edits.rephrase", "chat, edit's first rephrase"),
)


def final_rows(result: Result) -> list[tuple[str, dict[str, Figure]]]:
    """(name, figures at the end, averaged over orders) of the unedited model and of every preset."""
    from ultraedit.evaluation.series import final, presets

    names = {n for run in result.runs for n in run.checkpoints[-1].figures}
    rows = [("unedited", dict(result.unedited.figures))]
    for preset in presets(result):
        found = {name: final(result, preset, name) for name in sorted(names)}
        rows.append((preset, {name: f for name, f in found.items() if f is not None}))
    return rows


def score_table(result: Result) -> ScoreTable:
    """One line a figure, one column a model, the unedited one first; only figures that were measured."""
    models = final_rows(result)
    rows: list[tuple[str, list[str]]] = []
    for figure, words in _LINES:
        found = [figures.get(figure) for _, figures in models]
        if any(f is not None for f in found):
            rows.append((words, [_cell(f) for f in found]))
    for task in result.unedited_ability:
        found = [result.unedited_ability[task], *(_ability(result, n, task) for n, _ in models[1:])]
        rows.append((task, [_cell(f) for f in found]))
    return ScoreTable(
        result.title, [name for name, _ in models], rows, "95 % intervals in brackets"
    )


def needs_lines(result: Result) -> list[str]:
    """What each row needs, a sentence on training, subject and memory; nothing where no baseline was run."""
    from ultraedit.evaluation.series import of_preset, presets

    if not any("baseline" in run.settings for run in result.runs):
        return []
    found = []
    for name in presets(result):
        settings = of_preset(result, name)[0].settings
        said = [f"{k}: {settings[f'needs, {k}']}" for k in ("training", "subject", "memory")]
        found.append(f"{name} needs {' '.join(said)}")
    return found


def _ability(result: Result, preset: str, task: str) -> Figure | None:
    return next(
        (r.ability[task] for r in result.runs if r.preset == preset and task in r.ability), None
    )


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    digits = 1 if figure.value >= 10 else 3
    return f"{figure.value:.{digits}f}\n[{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def summary(result: Result, out: str | None, unmet: list[str]) -> dict[str, Any]:
    """What `--json` prints: final figures by row, and where the files are."""
    return {
        "title": result.title,
        "rows": {
            name: {
                figure: {"value": f.value, "low": f.low, "high": f.high, "n": f.n}
                for figure, f in figures.items()
            }
            for name, figures in final_rows(result)
        },
        "out": out,
        "unmet": unmet,
    }
