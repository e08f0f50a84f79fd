"""What is asked of a model and how: the settings that a benchmark and an evaluation share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit import arguments
from ultraedit.settings import declared, keep_checked

if TYPE_CHECKING:
    from ultraedit.evaluation.protocol import Protocol
    from ultraedit.model.form import PromptForm

DRIFT_WINDOW = 256
"""Tokens of a drift window, where the model's context allows."""


def _least(count: int) -> Any:
    return lambda value, name: arguments.whole(value, f"--{name}", count)


def _tasks(value: object, name: str) -> tuple[str, ...]:
    return arguments.texts(value, name)


@dataclass(frozen=True)
class Scoring:
    """What is asked of a model.

    Args:
        score: Records asked about, at most.
        generate: Records asked in free generation, at most.
        ability: Tasks of general ability, NAME=FILE or NAME.
        ability_limit: Rows of each of those, at most.
        question_marks: Put "?" behind unrelated prompts that do not end in one, as UltraEdit's released reader does
            with zsRE's.

    Raises:
        ConfigError: A value is of the wrong kind or out of range.
    """

    score: int = declared(
        2000, _least(1), int, "Records asked about, at most; a sample by seed.", min=1
    )
    generate: int = declared(
        200, _least(0), int, "Records asked in free generation, at most.", min=0
    )
    ability: tuple[str, ...] = declared(
        (),
        _tasks,
        list[str],
        "NAME[=FILE]: run a task of lm-evaluation-harness, on local JSON lines if a file is given; may be repeated.",
    )
    ability_limit: int | None = declared(
        None,
        lambda value, name: None if value is None else arguments.whole(value, name, 1),
        int,
        "Rows of each ability task, at most.",
        min=1,
    )
    question_marks: bool = declared(
        False,
        arguments.flag,
        bool,
        'Put "?" behind unrelated prompts that lack one, as the released reader does with zsRE.',
    )

    def __post_init__(self) -> None:
        keep_checked(self)

    def protocol(self, form: PromptForm, context: int, seed: int) -> Protocol:
        """The evaluation's own settings, for a model of this context."""
        from ultraedit.evaluation.protocol import FAMILIES, Protocol

        return Protocol(
            form=form,
            generate=FAMILIES if self.generate else (),
            generated_records=self.generate or None,
            drift_window=min(DRIFT_WINDOW, context),
            question_marks=self.question_marks,
            seed=seed,
        )


def as_options(*groups: Any, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Plain values of some settings under their option names, as in `config.yaml`; what is open is left out."""
    found: dict[str, object] = {}
    for group in groups:
        for f in fields(group):
            value = getattr(group, f.name)
            if f.name in without or value is None or value == ():
                continue
            if isinstance(value, tuple):
                value = list(value)
            elif f.name == "modules":
                value = [value]
            found[f.name.replace("_", "-")] = str(value) if isinstance(value, Path) else value
    return found
