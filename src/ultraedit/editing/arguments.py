"""Checks of what is passed to the Editor, made before its model is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from transformers import PreTrainedTokenizerBase

from ultraedit import arguments
from ultraedit.data.record import Record
from ultraedit.editing.snapshot import Snapshot
from ultraedit.errors import ConfigError, DataError, ModelError
from ultraedit.methods.base import Calibration
from ultraedit.model.weights import EditedWeight


def check_model(model: object) -> None:
    """Raises ModelError for what is no model of transformers (or wraps none)."""
    if isinstance(model, str):
        raise ModelError(
            f"the model is the text {arguments.quoted(model)}; Editor takes a loaded model: use "
            f"Editor.from_pretrained({arguments.quoted(model)})."
        )
    if not isinstance(model, nn.Module) or not hasattr(model, "get_decoder"):
        raise ModelError(
            f"the model is {arguments.quoted(model)}; Editor takes a causal language model of transformers, as "
            "AutoModelForCausalLM.from_pretrained gives it."
        )


def check_tokenizer(tokenizer: object) -> None:
    """Raises ConfigError for what is no tokenizer of transformers."""
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return
    inner = isinstance(getattr(tokenizer, "tokenizer", None), PreTrainedTokenizerBase)
    hint = (
        "give its own `.tokenizer`"
        if inner
        else "give the model's tokenizer, as AutoTokenizer.from_pretrained gives it"
    )
    raise ConfigError(f"the tokenizer is {arguments.quoted(tokenizer)}; {hint}.")


def check_calibration(calibration: object) -> None:
    """Raises ConfigError for what is neither None nor a calibration."""
    if calibration is not None and not isinstance(calibration, Calibration):
        raise ConfigError(
            f"calibration is {arguments.quoted(calibration)}; it must be one that was measured, or None."
        )


def one_record(
    prompt: str, target: str, rephrases: str | Sequence[str], edit_id: str, number: int
) -> Record:
    """The record of a single edit, called by its number where it has no id.  Raises DataError for what is no text."""
    return Record(
        arguments.text(prompt, "the prompt"),
        arguments.text(target, "the target"),
        id=arguments.text(edit_id, "the edit_id") or f"edit-{number}",
        rephrases=arguments.texts(rephrases, "rephrases"),
    )


def check_records(records: object) -> list[Record]:
    """The records of one turn.  Raises ConfigError for none and DataError for what are no records."""
    items = arguments.each(records)
    if items is None:
        raise DataError(
            f"a turn takes a list of Records, found {arguments.quoted(records)}; one Record goes into a list, other "
            "sources through stream or edit_many."
        )
    found = list(items)
    if not found:
        raise ConfigError("a turn needs at least one edit.")
    for i, record in enumerate(found):
        if not isinstance(record, Record):
            raise DataError(
                f"a turn takes Records, found {arguments.quoted(record)} at {i}; mappings and pairs go through stream "
                "or edit_many."
            )
    return found


def check_snapshot(snapshot: object, weights: Iterable[EditedWeight]) -> Snapshot:
    """A snapshot of these modules.  Raises ConfigError, so that no part of another one is ever put back."""
    if not isinstance(snapshot, Snapshot):
        raise ConfigError(
            f"a snapshot is what `editor.snapshot()` gives, found {arguments.quoted(snapshot)}; pass that."
        )
    shapes = {w.name: w.shift.shape for w in weights}
    if {name: shift.shape for name, shift in snapshot.shifts.items()} != shapes:
        raise ConfigError(
            f"the snapshot is of other modules ({', '.join(snapshot.shifts)}) than this editor edits "
            f"({', '.join(shapes)}); restore it in an editor with the same model and modules."
        )
    return snapshot
