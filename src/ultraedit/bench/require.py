"""`--require`: figures that must be reached, as the exit code of a build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultraedit.errors import ConfigError
from ultraedit.evaluation.chat.protocol import FIGURES as CHAT
from ultraedit.evaluation.chat.protocol import LOWER_IS_BETTER as LOWER_IN_CHAT
from ultraedit.evaluation.protocol import FAMILIES, LOWER_IS_BETTER, METRICS

if TYPE_CHECKING:
    from ultraedit.evaluation.schema import Result

_DRIFT = ("drift.perplexity", "drift.perplexity_ratio", "drift.agreement")


@dataclass(frozen=True)
class Requirement:
    """A figure and its bound: the least it may be, or the most where lower is better."""

    name: str
    bound: float

    @property
    def lower_is_better(self) -> bool:
        return self.name.partition(".")[2] in LOWER_IS_BETTER | LOWER_IN_CHAT

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.lower_is_better else value >= self.bound


def parse_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Requirements from `efficacy.token_accuracy=0.6`.  Raises ConfigError for anything else."""
    return [_parse(text) for text in texts]


def _parse(text: str) -> Requirement:
    name, equals, value = (x.strip() for x in text.partition("="))
    if not equals:
        raise ConfigError(
            f"--require '{text}' has no value; write it as efficacy.token_accuracy=0.6."
        )
    family, _, metric = name.partition(".")
    known = name in _DRIFT or (family == "chat" and metric in CHAT)
    if not known and (family not in FAMILIES or metric not in METRICS):
        raise ConfigError(
            f"--require '{text}': there is no figure '{name}'; it is one of {', '.join(FAMILIES)}, a dot, and one of "
            f"{', '.join(METRICS)}; or {', '.join(_DRIFT)}; or chat, a dot, and one of {', '.join(CHAT)}."
        )
    try:
        bound = float(value)
    except ValueError:
        bound = float("nan")
    if bound != bound:
        raise ConfigError(f"--require '{text}': '{value}' is not a number.")
    return Requirement(name, bound)


def unmet(result: Result, requirements: Sequence[Requirement]) -> list[str]:
    """A sentence for every preset whose final figure, averaged over orders, misses a bound.

    Raises ConfigError for a figure that was not measured, rather than pass it over.
    """
    from ultraedit.evaluation.series import final, presets

    said = []
    for wanted in requirements:
        for preset in presets(result):
            figure = final(result, preset, wanted.name)
            if figure is None:
                raise ConfigError(
                    f"--require {wanted.name}: this data gives no such figure (questions of that kind, free "
                    "generation, or the chat measure, are missing); leave the requirement out."
                )
            if not wanted.holds(figure.value):
                side = "above" if wanted.lower_is_better else "below"
                said.append(
                    f"{preset}: {wanted.name} is {figure.value:.4g}, {side} the required {wanted.bound:.4g}"
                )
    return said
