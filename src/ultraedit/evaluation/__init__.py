"""Scores a person can trust, beside the unedited model's.  A table of names; each is loaded when
first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultraedit.lazy import lazy_names

if TYPE_CHECKING:
    from ultraedit.evaluation.drift import drift, windows
    from ultraedit.evaluation.evaluation import Evaluation, QuestionScores
    from ultraedit.evaluation.evaluator import Baseline, Evaluator
    from ultraedit.evaluation.generate import Generation, Generator
    from ultraedit.evaluation.intervals import Figure
    from ultraedit.evaluation.protocol import Protocol
    from ultraedit.evaluation.scorer import ModelScorer, Scorer, TokenScores
    from ultraedit.evaluation.text import TokenPair

_HOME = {
    "Baseline": "evaluator",
    "Evaluation": "evaluation",
    "Evaluator": "evaluator",
    "Figure": "intervals",
    "Generation": "generate",
    "Generator": "generate",
    "ModelScorer": "scorer",
    "Protocol": "protocol",
    "QuestionScores": "evaluation",
    "Scorer": "scorer",
    "TokenPair": "text",
    "TokenScores": "scorer",
    "drift": "drift",
    "windows": "drift",
}

__all__ = [
    "Baseline",
    "Evaluation",
    "Evaluator",
    "Figure",
    "Generation",
    "Generator",
    "ModelScorer",
    "Protocol",
    "QuestionScores",
    "Scorer",
    "TokenPair",
    "TokenScores",
    "drift",
    "windows",
]


__getattr__ = lazy_names(__name__, _HOME)
