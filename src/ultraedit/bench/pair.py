"""An edited model and its unedited base, one of them live at a time: what `eval` compares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from ultraedit.editing.notes import read_notes
from ultraedit.errors import ConfigError
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.editing.editor import Editor

    Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


class ModelPair(Protocol):
    """The model of one block is not used after it."""

    def notes(self) -> dict[str, Any]:
        """How the model was edited (`format` is the form it was edited in); empty where nobody knows."""
        ...

    def base(self) -> AbstractContextManager[Loaded]: ...
    def edited(self) -> AbstractContextManager[Loaded]: ...


class SavedPair:
    """Two folders (or hub ids), loaded one after the other and never together."""

    def __init__(self, model: str, base: str, loading: Loading) -> None:
        self._model, self._base = model, base
        self._loading = loading

    def notes(self) -> dict[str, Any]:
        notes = read_notes(self._model)
        return {} if notes is None else notes.as_dict()

    @contextmanager
    def base(self) -> Iterator[Loaded]:
        yield self._load(self._base)

    @contextmanager
    def edited(self) -> Iterator[Loaded]:
        yield self._load(self._model)

    def _load(self, name: str) -> Loaded:
        from ultraedit.model.load import load

        return load(name, **asdict(self._loading))


class LivePair:
    """One live model, which has its original weights beside the edited ones."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    def notes(self) -> dict[str, Any]:
        return self._editor.notes().as_dict()

    @contextmanager
    def base(self) -> Iterator[Loaded]:
        with self._editor.disable_edits():
            yield self._editor.model, self._editor.tokenizer

    @contextmanager
    def edited(self) -> Iterator[Loaded]:
        yield self._editor.model, self._editor.tokenizer


def base_of(model: str, given: str | None) -> str:
    """The unedited model: the one given, else the one noted beside the edited.  Raises ConfigError where none is."""
    notes = read_notes(model) if given is None else None
    base = given or (notes and notes.base)
    if not base:
        raise ConfigError(
            f"'{model}' does not say which model it was edited from; name it with --base."
        )
    return str(base)
