"""What is exported: a live edited model.  An `Editor` is one; a folder it was saved to becomes one here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.arguments import DeviceMap
from ultraedit.editing.notes import NOTES, Noted, Notes, lasting_name, read_notes
from ultraedit.editing.plain import has_adapter
from ultraedit.errors import ConfigError, ModelError
from ultraedit.io.digest import bit_sums, fingerprint
from ultraedit.methods.base import Method
from ultraedit.model.devices import held_parameters
from ultraedit.model.find import find_structure
from ultraedit.model.form import PromptForm
from ultraedit.model.load import load
from ultraedit.model.maps.base import EditableMap
from ultraedit.model.maps.kinds import take_map
from ultraedit.model.select import select_projections
from ultraedit.model.weights import EditedWeight, edited_weights, originals
from ultraedit.settings import Loading


class Edited(Noted, Protocol):
    """The parts of an `Editor` that an export reads.  Read-only: exporting changes nothing."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...
    def disable_edits(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class EditedFolder:
    """An edited checkpoint beside its base, opened for export only."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights: tuple[EditedWeight, ...]
    base: str
    form: PromptForm
    method: Method
    edits: int
    turns: int

    @contextmanager
    def disable_edits(self) -> Iterator[None]:
        with originals(self.weights):
            yield


def open_folder(
    folder: Path,
    *,
    base: str | None = None,
    device: str = "cpu",
    device_map: DeviceMap = None,
    trust_remote_code: bool = False,
) -> EditedFolder:
    """Open a checkpoint written by `Editor.save_pretrained` or `ultraedit edit --save`, with its base.

    base: where the unedited model lies now, if not where the folder's notes say.  The shifts are the differences of
    the two checkpoints, so the edits' own fp32 shifts are known no finer than the checkpoint's dtype.
    Raises ModelError if the folder is not an edited checkpoint or does not fit the base.
    """
    notes = _notes(folder)
    loading = Loading("auto", device, device_map, trust_remote_code)
    edited, tokenizer = load(folder, **asdict(loading))
    names = notes.modules
    try:
        live = {name: _map(edited, name).matrix.clone() for name in names}
    except AttributeError as error:
        raise ModelError(
            f"'{folder}' has no module '{error.args[0]}', which its {NOTES} says was edited; save the model again."
        ) from error
    dtype = str(next(iter(live.values())).dtype).removeprefix("torch.")
    others = _others(edited, names)
    del edited  # one model in memory at a time
    origin = lasting_name(base or notes.base)
    model = _load_base(folder, notes.base, base, replace(loading, dtype=dtype))
    weights = edited_weights(model, select_projections(model, find_structure(model), names))
    for w in weights:
        if live[w.name].shape != w.matrix.shape:
            raise ModelError(
                f"'{folder}' was not made from '{origin}': '{w.name}' is {tuple(live[w.name].shape)} in one and "
                f"{tuple(w.matrix.shape)} in the other; name the right one with --base."
            )
    found = fingerprint((w.name, w.original) for w in weights)
    strange = next((n for n, sums in _others(model, names).items() if others.get(n) != sums), None)
    if strange is None and notes.originals not in (None, found):
        strange = weights[0].map.parameter_name
    if strange is not None:
        raise ModelError(
            f"'{folder}' was not made from '{origin}' as it is now: '{strange}' is another there; name the model it "
            "was edited from with --base, or save it again if that was overwritten."
        )
    for w in weights:
        torch.sub(live[w.name].float(), w.original.float(), out=w.shift)
        w.matrix.copy_(live[w.name])
    return EditedFolder(
        model, tokenizer, weights, origin, notes.form, notes.method, notes.edits, notes.turns
    )


def _others(model: PreTrainedModel, edited: Sequence[str]) -> dict[str, bytes]:
    """What tells apart each weight that was not edited."""
    skipped = {_map(model, name).parameter_name for name in edited}
    return {n: bit_sums(p) for n, p in held_parameters(model) if n not in skipped}


def require_edits(edited: Edited) -> None:
    """Raise ConfigError where the edits cannot be taken out: every shift is zero, or an adapter runs beside them."""
    if has_adapter(edited.model):
        raise ConfigError(
            f"the model edited from '{edited.base}' carries a PEFT adapter, without which its edits are "
            "another model's: merge it before editing (Editor(model.merge_and_unload(), tokenizer)), or use "
            "--to merged."
        )
    if not any(bool(w.shift.any()) for w in edited.weights):
        raise ConfigError(
            f"nothing has been edited in '{edited.base}', so there is nothing to export; edit it first, or use "
            "--to merged for a plain copy."
        )


def _notes(folder: Path) -> Notes:
    notes = read_notes(folder)
    if notes is None:
        raise ModelError(
            f"'{folder}' is neither a workspace nor a folder that an edited model was saved to (its {NOTES} is "
            "missing); name one of those."
        )
    if notes.adapter_merged:
        raise ModelError(
            f"'{folder}' holds a PEFT adapter merged in beside its edits, so its edits cannot be told apart; it is a "
            "plain checkpoint already: serve it as it is, or merge the adapter first and edit that model."
        )
    return notes


def _load_base(folder: Path, noted: str, given: str | None, loading: Loading) -> PreTrainedModel:
    try:
        return load(given or noted, **asdict(loading))[0]
    except ModelError as error:
        if given is not None:
            raise
        raise ModelError(
            f"'{folder}' was edited from '{noted}', which cannot be loaded from here ({str(error).rstrip('.')}); say "
            "where that model lies now with --base."
        ) from error


def _map(model: PreTrainedModel, name: str) -> EditableMap:
    """Raises AttributeError, of the name, where the model has no such module."""
    try:
        return take_map(name, model.get_submodule(name))
    except AttributeError as error:
        raise AttributeError(name) from error
