"""Tables for people: answers before and after, scores beside the unedited model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ultraedit.cli.screen import ScoreTable

if TYPE_CHECKING:
    from rich.table import Table

SCORES = {
    "efficacy.token_accuracy": "efficacy: answer tokens right (teacher-forced)",
    "efficacy.exact": "efficacy: all tokens right (teacher-forced)",
    "efficacy.generated_exact": "efficacy: free answer equals the target",
    "efficacy.generated_contains": "efficacy: free answer contains it",
    "generalization.token_accuracy": "rephrased: answer tokens right (teacher-forced)",
    "generalization.exact": "rephrased: all tokens right (teacher-forced)",
    "generalization.generated_exact": "rephrased: free answer equals the target",
    "generalization.generated_contains": "rephrased: free answer contains it",
    "locality.token_accuracy": "unrelated: gold answer tokens right (teacher-forced)",
    "locality.generated_contains": "unrelated: free answer contains the gold answer",
    "locality.agreement": "unrelated: free answer is the unedited model's",
    "drift.perplexity": "ordinary text: perplexity",
    "drift.agreement": "ordinary text: first choice is the unedited model's",
}
"""What the table shows of the figures, and in which words."""

CHAT = {
    "right": "right answers",
    "kept": "answers right before that still are",
    "kl": "KL to the unedited model on its own answers (nats)",
    "same_first_token": "first token is the unedited model's",
    "instructions": "instructions followed",
    "instructions_kept": "instructions followed before that still are",
    "words": "words an answer",
    "loops": "answers that loop",
    "copies": "answers that copy an edit",
    "edits.bare": "edit asked bare: free answer contains the target",
    "edits.system": "edit asked behind a system message",
    "edits.after turns": "edit asked after other turns",
    "edits.raw": "edit asked as raw text",
    "edits.rephrase": "edit's first rephrase",
}
"""What the table shows of the chat's figures, and in which words."""

ANSWER_WIDTH = 44
"""Columns of each cell of the table of answers, at most: it is read by people in a pipe too."""

FORM_WORDS = {"raw": "raw text", "chat": "chat template"}


def answer_table(answers: Sequence[Mapping[str, Any]]) -> Table:
    """Prompt and target, then the unedited and the edited model's free answers."""
    from rich.table import Table

    table = Table(title="Free answers", title_justify="left", show_lines=True)
    for heading in ("prompt (target)", "unedited", "edited"):
        table.add_column(heading, ratio=1, overflow="fold", max_width=ANSWER_WIDTH)
    for row in answers:
        table.add_row(
            f"{row['prompt']} ({row['target']})", _line(row["before"]), _line(row["after"])
        )
    return table


def score_tables(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[ScoreTable]:
    """A table a form: one line a score, the unedited model beside the edited one with its 95 % interval."""
    tables = []
    for form, figures in scores.items():
        rows = []
        for name, words in SCORES.items():
            pair = figures.get(name)
            if pair is not None and pair["edited"] is not None:
                old, new = pair["unedited"], pair["edited"]
                rows.append((words, [_figure(old, False), _figure(new, True), str(new["n"])]))
        title = f"Scores, {FORM_WORDS[form]} (95 % intervals in brackets)"
        tables.append(ScoreTable(title, ["unedited", "edited", "n"], rows))
    return tables


def chat_table(chat: Mapping[str, Any]) -> ScoreTable:
    """What is left of the answers that no edit is about: a line a figure, the unedited model beside the edited one."""
    rows = []
    for name, words in CHAT.items():
        new = chat["edited"].get(name)
        if new is not None:
            old = chat["unedited"].get(name)
            rows.append((words, [_figure(old, False), _figure(new, True), str(new["n"])]))
    title = (
        f"What is left of the chat: {chat['requests']} requests that no edit is about; of "
        f"{chat['right_before']} right answers {chat['kept']} kept"
    )
    return ScoreTable(title, ["unedited", "edited", "n"], rows)


def _figure(figure: Mapping[str, Any] | None, interval: bool) -> str:
    if figure is None:
        return "-"
    digits = 1 if figure["value"] >= 2 else 2
    text = f"{figure['value']:.{digits}f}"
    return f"{text} [{figure['low']:.{digits}f}-{figure['high']:.{digits}f}]" if interval else text


def _line(text: str | None, limit: int = 120) -> str:
    """One line of at most `limit` characters."""
    flat = " ".join((text or "").split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
