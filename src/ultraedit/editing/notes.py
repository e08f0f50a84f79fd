"""`ultraedit.json`: what is noted beside a saved model.  Written here and read here, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)

from ultraedit.editing.plain import has_adapter, plain_name
from ultraedit.errors import ConfigError, ModelError
from ultraedit.methods.base import Method
from ultraedit.methods.presets import from_settings, settings_of
from ultraedit.model.form import PromptForm

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ultraedit.model.weights import EditedWeight

NOTES = "ultraedit.json"


def _method(given: Any) -> Method:
    if isinstance(given, Method):
        return given
    if not isinstance(given, dict):
        raise ValueError("it is no mapping of settings")
    try:
        return from_settings(given)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class Notes(BaseModel):
    """How the model in a folder was edited."""

    model_config = ConfigDict(frozen=True)

    base: str
    """The unedited model: an alias, a hub id, or a folder's absolute path (relative in old notes)."""
    edits: int = Field(ge=0)
    turns: int = Field(ge=0)
    form: PromptForm = Field(
        validation_alias=AliasChoices("format", "form"), serialization_alias="format"
    )
    """The file calls it `format`."""
    method: Annotated[Method, PlainValidator(_method), PlainSerializer(settings_of)]
    modules: tuple[str, ...] = Field(min_length=1)
    """Names in the saved model, of which `save_pretrained` writes no wrapper."""
    originals: str | None = None
    """Fingerprint of the edited weights as they are in the base; None in old notes."""
    adapter_merged: bool = False
    """An adapter was merged into the weights, so that the folder is more than its base and edits."""

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class Noted(Protocol):
    """What notes say of an edited model."""

    @property
    def model(self) -> PreTrainedModel: ...
    @property
    def weights(self) -> Sequence[EditedWeight]: ...
    @property
    def base(self) -> str: ...
    @property
    def form(self) -> PromptForm: ...
    @property
    def method(self) -> Method: ...
    @property
    def edits(self) -> int: ...
    @property
    def turns(self) -> int: ...


def notes_of(edited: Noted) -> Notes:
    """What there is to say of an edited model beside its weights."""
    return Notes(
        base=lasting_name(edited.base),
        edits=edited.edits,
        turns=edited.turns,
        form=edited.form,
        method=edited.method,
        modules=tuple(plain_name(w.name) for w in edited.weights),
        adapter_merged=has_adapter(edited.model),
    )


def write_notes(folder: Path, notes: Notes) -> None:
    text = json.dumps(notes.as_dict(), indent=2) + "\n"
    (folder / NOTES).write_text(text, encoding="utf-8")


def read_notes(folder: str | Path) -> Notes | None:
    """None where `folder` is none, or not one that an edited model was saved to.

    Raises ModelError where the notes are there and cannot be used.
    """
    file = Path(folder) / NOTES
    if not file.exists():
        return None
    try:
        return Notes.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
    except (ValueError, RecursionError) as error:  # not UTF-8, or no JSON
        why = str(error)
    raise ModelError(
        f"'{file}' is missing parts or damaged ({' '.join(why.split())}); save the model again, or take the file away "
        "and say with --base and --form what it held."
    )


def lasting_name(base: str | Path) -> str:
    """A base's name as it is understood from every working directory: a local folder's becomes absolute."""
    return str(Path(base).resolve()) if Path(base).is_dir() else str(base)
