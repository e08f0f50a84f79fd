"""The baselines by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.alphaedit import AlphaEdit, AlphaEditSettings
from ultraedit.baselines.base import BaselineEditor
from ultraedit.baselines.finetune import FineTune, FineTuneSettings
from ultraedit.baselines.lora import Lora, LoraSettings
from ultraedit.baselines.memit import Memit, MemitSettings
from ultraedit.baselines.retrieval import Retrieval, RetrievalSettings
from ultraedit.errors import ConfigError
from ultraedit.extras import require
from ultraedit.model.text import Form

# name -> the class and its settings; the class takes (model, tokenizer, form, modules, settings)
BASELINES: dict[str, tuple[Any, Any]] = {
    "finetune": (FineTune, FineTuneSettings),
    "lora": (Lora, LoraSettings),
    "memit": (Memit, MemitSettings),
    "alphaedit": (AlphaEdit, AlphaEditSettings),
    "retrieval": (Retrieval, RetrievalSettings),
}


@dataclass(frozen=True)
class BaselineChoice:
    """A baseline with its settings, not made yet."""

    name: str
    options: Any

    def make(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
    ) -> BaselineEditor:
        return BASELINES[self.name][0](model, tokenizer, form, modules, self.options)

    def require_extra(self) -> None:
        """Raise ConfigError where a package that it needs is not installed."""
        extra = BASELINES[self.name][0].extra
        if extra is not None:
            require(f"the baseline {self.name}", extra)

    def settings(self) -> dict[str, object]:
        """Name, settings and needs, for the result file."""
        return {"baseline": self.name, **asdict(self.options), **self.needs()}

    def needs(self) -> dict[str, str]:
        return BASELINES[self.name][0].needs.as_dict()


def defaults(name: str) -> dict[str, bool | int | float]:
    """A baseline's settings.  Raises ConfigError for an unknown name."""
    if name not in BASELINES:
        raise ConfigError(
            f'baseline "{name}" is unknown; the baselines are {", ".join(BASELINES)}.'
        )
    options = BASELINES[name][1]()
    return {f.name: getattr(options, f.name) for f in fields(options)}


def choose(name: str, changes: dict[str, Any]) -> BaselineChoice:
    """A baseline with some settings changed, all of them known ones."""
    return BaselineChoice(name, BASELINES[name][1](**changes))
