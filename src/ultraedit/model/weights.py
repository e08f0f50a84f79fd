"""The edited weights: original tensor, fp32 shift, and the live parameter they add up to.

The live weight is always round(original + shift) in the model's dtype, computed from the fp32 shift anew.  Shifts
far below the dtype's resolution therefore add up over turns instead of being rounded away one by one, and putting
an old shift back gives the old weight to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from ultraedit.core.solve import Update
from ultraedit.errors import ModelError
from ultraedit.model.find import Projection
from ultraedit.model.maps.base import EditableMap, add_rounded, exact
from ultraedit.model.maps.kinds import take_map
from ultraedit.model.overlay import Version, reading

_given: ContextVar[Mapping[EditedWeight, Tensor]] = ContextVar("_given", default={})  # noqa: B039 - never written into
"""The shifts that `shifted` blocks show."""


class EditedWeight:
    """One projection's weight.  `original` and `shift` have its own layout of rows and columns; `shift` is fp32."""

    def __init__(self, projection: Projection, module: nn.Module) -> None:
        """Raises ModelError where the module's weight cannot be edited."""
        self.projection = projection
        self.map: EditableMap = take_map(projection.name, module)
        self.original = self.matrix.clone()
        self._shift = torch.zeros_like(self.matrix, dtype=torch.float32)
        self._previewed: Update | None = None
        """What the live weight holds beside the shift; None where it holds nothing, or it is not known."""

    @property
    def name(self) -> str:
        return self.projection.name

    @property
    def module(self) -> nn.Module:
        return self.map.module

    @property
    def parameter(self) -> nn.Parameter:
        return self.map.parameter

    @property
    def matrix(self) -> Float[Tensor, "r c"]:
        """`parameter` as rows and columns; shares its memory."""
        return self.map.matrix

    @property
    def experts(self) -> int | None:
        """How many matrices, side by side, the weight is made of; None for one that is not divided."""
        return self.map.experts

    @property
    def shift(self) -> Float[Tensor, "r c"]:
        """What the edits added: in a block that shows other shifts, those."""
        return _given.get().get(self, self._shift)

    @property
    def transposed(self) -> bool:
        """Whether the weight is laid out as d_in x d_out, and not as nn.Linear's d_out x d_in."""
        return self.map.transposed

    @torch.no_grad()
    def follow(self) -> None:
        """Take over the dtype that the model was given since (`model.half()`), as if it had been loaded so.

        Raises ModelError where the weight was replaced, moved or written by somebody else: the next turn would undo
        that without a word.
        """
        parameter = self.parameter
        again = "make a new Editor of the model as it is now."
        if self.matrix.shape != self.original.shape:
            raise ModelError(
                f"'{self.name}' was replaced by a weight of another shape after the Editor took the model; {again}"
            )
        if parameter.device != self.original.device:
            raise ModelError(
                f"'{self.name}' was moved from {self.original.device} to {parameter.device} after the Editor took the "
                f"model; move it back, or {again}"
            )
        if parameter.dtype != self.original.dtype:
            take_map(self.name, self.module)  # raises where it can be edited no longer
            self.original = self.original.to(parameter.dtype)
            self.__dict__.pop("norm", None)
            self.write()

    @torch.no_grad()
    def require_own(self) -> None:
        """Raise ModelError where the live weight is not the one that was written last: somebody else changed it."""
        live = self.map.live_matrix
        if not all(live[rows].equal(self._live(rows)) for rows in self._chunks()):
            raise ModelError(
                f"'{self.name}' was changed by something else after the Editor took the model, and an edit would undo "
                "that; make a new Editor of the model as it is now."
            )

    @torch.no_grad()
    def preview(self, update: Update, rounded: bool = False) -> None:
        """Make the live weight what `commit` would make it, and leave the shift: `write` takes it back."""
        if rounded:
            self.write()  # the shift is exactly what earlier turns left behind in the live weight
        self._previewed = None
        for rows in self._chunks():
            delta = self.map.rows_of(update, rows)
            if rounded:
                self.map.add(rows, delta)
            else:
                self.map.write(rows, self.original[rows], self._shift[rows] + delta)
        self._previewed = update

    @torch.no_grad()
    def commit(self, update: Update, rounded: bool = False) -> float:
        """shift += update, live weight with it; returns the Frobenius norm of the shift's change.

        `rounded` is the published way: the update is cast to the weight's dtype and added there, and the shift
        becomes what that left behind.  A live weight that `preview` made from the same update is not written again.
        """
        if rounded:
            if self._previewed is not update:
                self.preview(update, rounded=True)
            shift = exact(self.map.live_matrix) - exact(self.original)
            moved = float(torch.linalg.vector_norm(shift.to(self._shift) - self._shift))
            self.set_shift(
                shift
            )  # changes at most the last bit: the shift brings back just this weight
            return moved
        squares = 0.0
        shift = torch.empty_like(self._shift)
        for rows in self._chunks():
            delta = self.map.rows_of(update, rows)
            squares += float(delta.square().sum())
            torch.add(self._shift[rows], delta, out=shift[rows])
        if self._previewed is update:
            self._shift, self._previewed = shift, None
        else:
            self.set_shift(shift)
        return squares**0.5

    @torch.no_grad()
    def set_shift(self, shift: Float[Tensor, "r c"]) -> None:
        """Take another shift of the weight's layout, and write the live weight.

        The tensor is kept and not copied: no shift is written into once it is set, so snapshots can share it.
        """
        self._shift = shift.detach().to(self._shift).contiguous()
        self.write()

    @torch.no_grad()
    def write(self) -> None:
        """Make the live weight what the shift says."""
        self._previewed = None
        for rows in self._chunks():
            self.map.write(rows, self.original[rows], self._shift[rows])

    @torch.no_grad()
    def at(self, shift: Float[Tensor, "r c"]) -> Float[Tensor, "r c"]:
        """What the live weight would be with another shift, as a tensor of its own."""
        made = torch.empty_like(self.original)
        for rows in self._chunks():
            add_rounded(self.original[rows], shift[rows], out=made[rows])
        return made

    def _chunks(self) -> list[slice]:
        each = self.map.chunk_rows
        return [slice(low, low + each) for low in range(0, self.original.shape[0], each)]

    def _live(self, rows: slice) -> Float[Tensor, "r c"]:
        """Some rows of what the live weight has to be."""
        return (exact(self.original[rows]) + self._shift[rows]).to(self.original.dtype)

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the original weight."""
        return max(float(torch.linalg.vector_norm(self.original.float())), 1e-30)

    def shift_ratio(self) -> float:
        """||shift|| / ||original||, Frobenius."""
        return float(torch.linalg.vector_norm(self.shift)) / self.norm


def edited_weights(
    model: PreTrainedModel, projections: Sequence[Projection]
) -> tuple[EditedWeight, ...]:
    """Take charge of the chosen projections.

    Raises ModelError where one of them shares its weight with another module, because editing it would silently
    edit the other.
    """
    places: dict[object, list[tuple[str, Tensor]]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(_storage(parameter), []).append((name, parameter))
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    made = []
    for projection in projections:
        module = model.get_submodule(projection.name)
        weight = EditedWeight(projection, module)
        own = weight.map.live
        mine = {
            name
            for name, p in places[_storage(own)]
            if p is own and name.startswith(f"{projection.name}.")
        }
        shared = [n for n, p in places[_storage(own)] if n not in mine and _overlap(own, p)]
        # what is offloaded has no storage: of that the model's own list of ties speaks
        shared += [b for a, b in tied.items() if a in mine] + [
            a for a, b in tied.items() if b in mine
        ]
        if shared:
            raise ModelError(
                f"'{projection.name}' shares its weight with '{shared[0].rpartition('.')[0]}', so editing one would "
                "change both; choose modules that are not tied."
            )
        made.append(weight)
    return tuple(made)


def _storage(tensor: Tensor) -> object:
    """What two tensors that may share numbers have in common; an offloaded one has nothing in common with any."""
    return id(tensor) if tensor.is_meta else tensor.untyped_storage()._cdata


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage share numbers, and are not two parts of it."""
    first, second = ((t.storage_offset(), _end(t)) for t in (one, other))
    return first[0] < second[1] and second[0] < first[1]


def _end(tensor: Tensor) -> int:
    """Behind the last of a tensor's numbers in its storage."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return int(tensor.storage_offset()) + sum((n - 1) * step for n, step in steps) + 1


def base_version(weights: Sequence[EditedWeight]) -> Version:
    """The unedited model: the originals themselves, without a copy."""
    return Version(tuple(w.original for w in weights))


def version_of(weights: Sequence[EditedWeight], shifts: Mapping[str, Tensor]) -> Version:
    """The model with other shifts, by module name."""
    return Version(tuple(w.at(shifts[w.name]) for w in weights))


@contextmanager
def originals(weights: Sequence[EditedWeight]) -> Iterator[None]:
    """The unedited model inside the block, for this thread and context."""
    with reading([w.map for w in weights], base_version(weights)):
        yield


@contextmanager
def shifted(weights: Sequence[EditedWeight], shifts: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with other shifts inside the block (time travel), for this thread and context: `EditedWeight.shift`
    is then theirs too."""
    given = {w: shifts[w.name].to(w.shift) for w in weights}
    version = Version(tuple(w.at(shift) for w, shift in given.items()))
    token = _given.set({**_given.get(), **given})
    try:
        with reading([w.map for w in weights], version):
            yield
    finally:
        _given.reset(token)
