from __future__ import annotations

from ultraedit.evaluation.evaluation import Evaluation, QuestionScores, summarise
from ultraedit.evaluation.highlights import checkpoint, samples, side_effects
from ultraedit.evaluation.protocol import Protocol


def row(position, family, prompt, before, after, kl=None, number=0):
    made = QuestionScores(f"e{position}", position, 9 - position, family, "", number, prompt, "a")
    made.before, made.generated, made.kl = before, after, kl
    made.token_accuracy = 0.5
    made.agreement = before == after if family == "locality" else None
    return made


def test_side_effects_are_changed_texts_worst_first_each_prompt_once():
    rows = [
        row(0, "locality", "p0", "x", "y", 0.5),
        row(1, "locality", "p1", "x", "x", 9.0),
        row(2, "locality", "p2", "x", "z", 2.0),
        row(3, "locality", "p2", "x", "z", 2.0),
        row(4, "locality", "p4", "x", "w"),
        row(5, "efficacy", "p5", "x", "y", 7.0),
    ]
    found = side_effects(Evaluation(9, rows))
    assert [(e.prompt, e.after, e.kl) for e in found] == [
        ("p2", "z", 2.0),
        ("p0", "y", 0.5),
        ("p4", "w", None),
    ]
    assert len(side_effects(Evaluation(9, rows), count=1)) == 1


def test_samples_are_spread_over_the_stream():
    rows = [row(i, "efficacy", f"p{i}", "b", "a") for i in range(10)]
    assert [s.prompt for s in samples(Evaluation(9, rows), 3)] == ["p0", "p3", "p6"]
    assert len(samples(Evaluation(9, rows), 30)) == 10
    assert samples(Evaluation(9, [row(0, "locality", "p", "b", "a")]), 3) == []


def test_checkpoint_holds_figures_and_ages():
    rows = [row(i, "efficacy", f"p{i}", "b", "a") for i in range(4)]
    figures = summarise(rows, Protocol())
    point = checkpoint(Evaluation(4, rows, figures), Protocol())
    assert (point.edits, point.figures) == (4, figures)
    assert list(point.by_age) == ["efficacy.token_accuracy"]
    unedited = checkpoint(Evaluation(None, rows, figures), Protocol())
    assert (unedited.edits, unedited.by_age) == (0, {})
