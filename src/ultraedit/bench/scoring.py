"""What is asked of a model and how: the settings that a benchmark and an evaluation share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit import arguments
from ultraedit.errors import ConfigError
from ultraedit.settings import declared, keep_checked

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.evaluation.intervals import Figure
    from ultraedit.evaluation.protocol import Protocol
    from ultraedit.model.form import PromptForm

DRIFT_WINDOW = 256
"""Tokens of a drift window, where the model's context allows."""


_TASK = re.compile(r"[\w.:+-]+")


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
        chat: Measure what is left of the unedited model's chat; None does so where the form is chat.
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
    chat: bool | None = declared(
        None,
        lambda value, name: None if value is None else arguments.flag(value, name),
        bool,
        "Measure what is left of the unedited model's chat, on bundled requests.  [default: where the form is chat]",
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

    def measure_ability(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: PromptForm,
        seed: int,
    ) -> dict[str, Figure]:
        """Run the ability tasks on a model; none where there are no tasks."""
        if not self.ability:
            return {}
        from ultraedit.evaluation.ability import ability

        return ability(
            model,
            tokenizer,
            parse_tasks(self.ability),
            limit=self.ability_limit,
            chat=form == "chat",
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


def parse_tasks(texts: Sequence[str]) -> dict[str, Path | None]:
    """Ability tasks from `arc_challenge=FILE` (a shipped task over a local file) or `NAME` (the harness's own)."""
    tasks: dict[str, Path | None] = {}
    for text in texts:
        name, equals, file = (x.strip() for x in text.partition("="))
        if not name or (equals and not file):
            raise ConfigError(f"--ability '{text}' is not a task; write NAME=FILE, or NAME.")
        if not _TASK.fullmatch(name):
            # the harness would read a path as a task of its own form, at the end of the run
            raise ConfigError(
                f"--ability '{text}': '{name}' is not the name of a task; write NAME=FILE, or a NAME that "
                "lm-evaluation-harness knows."
            )
        if name in tasks:
            raise ConfigError(f"--ability names the task '{name}' twice; name it once.")
        tasks[name] = Path(file) if equals else None
    return tasks
