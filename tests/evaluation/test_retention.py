from __future__ import annotations

import pytest

from ultraedit.errors import ConfigError
from ultraedit.evaluation.evaluation import Evaluation, QuestionScores
from ultraedit.evaluation.protocol import Protocol
from ultraedit.evaluation.retention import by_age, retention


def at(edits, scores):
    """An evaluation in which edit i has token accuracy scores[i]."""
    rows = []
    for i, score in enumerate(scores):
        row = QuestionScores(f"e{i}", i, edits - 1 - i, "efficacy", "", 0, "p", "a")
        row.token_accuracy = score
        rows.append(row)
    return Evaluation(edits, rows)


def test_matrix_immediate_final_forgetting():
    runs = [
        at(2, [1.0, 0.8]),
        at(4, [0.5, 0.5, 1.0, 1.0]),
        at(6, [0.0, 0.4, 0.6, 1.0, 0.9, 0.7]),
    ]
    made = retention(runs, "efficacy", "token_accuracy", Protocol())
    assert made.times == (2, 4, 6)
    assert made.matrix[0] == pytest.approx((0.9, 0.5, 0.2))
    assert made.matrix[1][0] is None
    assert made.matrix[1][1:] == pytest.approx((1.0, 0.8))
    assert made.matrix[2] == (None, None, pytest.approx(0.8))
    assert made.immediate.value == pytest.approx((1.8 + 2.0 + 1.6) / 6)
    assert made.final.value == pytest.approx(3.6 / 6)
    assert made.forgetting.value == pytest.approx(1.8 / 6)
    assert made.forgetting.n == 6


def test_buckets_of_age_hold_every_edit_once_newest_first():
    buckets = by_age(
        at(7, [i / 7 for i in range(7)]), "efficacy", "token_accuracy", Protocol(), buckets=3
    )
    assert [b.score.n for b in buckets] == [2, 2, 3]
    assert (buckets[0].youngest, buckets[-1].oldest) == (0, 6)
    assert buckets[0].score.value == pytest.approx((6 + 5) / 14)


def test_one_bucket_per_edit_at_most():
    assert len(by_age(at(2, [1.0, 0.0]), "efficacy", "token_accuracy", Protocol())) == 2


@pytest.mark.parametrize("times", [[], [4, 2], [2, 2]])
def test_checkpoints_out_of_order(times):
    with pytest.raises(ConfigError, match="in order"):
        retention([at(t, [1.0] * t) for t in times], "efficacy", "token_accuracy", Protocol())
