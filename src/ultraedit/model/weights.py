"""The edited weights: original tensor, fp32 shift, and the live parameter they add up to.

The live weight is always round(original + shift) in the model's dtype, computed from the fp32 shift anew.  Shifts
far below the dtype's resolution therefore add up over turns instead of being rounded away one by one, and putting
an old shift back gives the old weight to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import PreTrainedModel

from ultraedit.core.solve import Update
from ultraedit.errors import ModelError
from ultraedit.model.find import Projection, is_transposed

CHUNK_ROWS = 128
"""Rows written at a time: their fp32 scratch stays in the processor's caches, and a copy is 8 MB at Mistral's width."""


class EditedWeight:
    """One projection's weight.  `shift` has the parameter's own orientation and is fp32."""

    def __init__(self, projection: Projection, module: nn.Module) -> None:
        self.projection = projection
        self.module = module
        self.transposed = is_transposed(module)
        parameter = self.parameter
        self.original = parameter.detach().clone()
        self.shift = torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)

    @property
    def name(self) -> str:
        return self.projection.name

    @property
    def parameter(self) -> nn.Parameter:
        return self.module.weight  # type: ignore[return-value]

    @torch.no_grad()
    def follow(self) -> None:
        """Take over the dtype that the model was given since (`model.half()`), as if it had been loaded so.

        Raises ModelError where the weight was replaced, moved or written by somebody else: the next turn would undo
        that without a word.
        """
        parameter = self.parameter
        again = "make a new Editor of the model as it is now."
        if parameter.shape != self.original.shape:
            raise ModelError(
                f"'{self.name}' was replaced by a weight of another shape after the Editor took the model; {again}"
            )
        if parameter.device != self.original.device:
            raise ModelError(
                f"'{self.name}' was moved from {self.original.device} to {parameter.device} after the Editor took the "
                f"model; move it back, or {again}"
            )
        if parameter.dtype != self.original.dtype:
            _require_plain(self.name, self.module)
            self.original = self.original.to(parameter.dtype)
            self.__dict__.pop("norm", None)
            self.write()

    @torch.no_grad()
    def require_own(self) -> None:
        """Raise ModelError where the live weight is not the one that was written last: somebody else changed it."""
        live = self.parameter.data
        if not all(live[rows].equal(self._live(rows)) for rows in _chunks(live.shape[0])):
            raise ModelError(
                f"'{self.name}' was changed by something else after the Editor took the model, and an edit would undo "
                "that; make a new Editor of the model as it is now."
            )

    @torch.no_grad()
    def preview(self, update: Update, rounded: bool = False) -> None:
        """Make the live weight what `commit` would make it, and leave the shift: `write` takes it back."""
        live = self.parameter.data
        if rounded:
            self.write()  # the shift is exactly what earlier turns left behind in the live weight
        for rows in _chunks(live.shape[0]):
            delta = self._delta(update, rows)
            if rounded:
                live[rows] += delta.to(live.dtype)
            else:
                live[rows] = (_exact(self.original[rows]) + (self.shift[rows] + delta)).to(
                    live.dtype
                )

    @torch.no_grad()
    def commit(self, update: Update, rounded: bool = False) -> float:
        """shift += update, live weight with it; returns the Frobenius norm of the shift's change.

        `rounded` is the published way: the update is cast to the weight's dtype and added there, and the shift
        becomes what that left behind.
        """
        if rounded:
            self.preview(update, rounded=True)
            before = self.shift.clone()
            torch.sub(_exact(self.parameter.data), _exact(self.original), out=self.shift)
            self.write()  # changes at most the last bit, and makes the shift bring back just this weight
            return float(torch.linalg.vector_norm(self.shift - before))
        squares = 0.0
        for rows in _chunks(self.shift.shape[0]):
            delta = self._delta(update, rows)
            squares += float(delta.square().sum())
            self.shift[rows] += delta
        self.write()
        return squares**0.5

    def _delta(self, update: Update, rows: slice) -> Float[Tensor, "r c"]:
        """Some rows of the update in the parameter's own orientation."""
        if self.transposed:
            return update.left[:, rows].T @ update.right
        return update.right[:, rows].T @ update.left

    @torch.no_grad()
    def set_shift(self, shift: Float[Tensor, "r c"]) -> None:
        """Replace the shift by another of the parameter's orientation, and write the live weight."""
        self.shift.copy_(shift)
        self.write()

    @torch.no_grad()
    def write(self) -> None:
        live = self.parameter.data
        if live.dtype == torch.float32:
            torch.add(self.original, self.shift, out=live)
            return
        for rows in _chunks(live.shape[0]):
            live[rows] = self._live(rows)

    def _live(self, rows: slice) -> Float[Tensor, "r c"]:
        """Some rows of what the live weight has to be."""
        return (_exact(self.original[rows]) + self.shift[rows]).to(self.original.dtype)

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the original weight."""
        return max(float(torch.linalg.vector_norm(self.original.float())), 1e-30)

    def shift_ratio(self) -> float:
        """||shift|| / ||original||, Frobenius."""
        return float(torch.linalg.vector_norm(self.shift)) / self.norm


def _exact(weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """In fp32, or in fp64 if the model is: nothing of the original may be lost."""
    return weight if weight.dtype == torch.float64 else weight.float()


def _require_plain(name: str, module: nn.Module) -> None:
    """Raise ModelError for a weight that cannot be written in place, or whose writing would not last."""
    weight = module.weight
    if not isinstance(weight, Tensor):  # packed by torch's own quantisation
        raise ModelError(
            f"'{name}' is quantised and cannot be edited; leave it out of quantisation."
        )
    if weight.is_meta:
        raise ModelError(
            f"'{name}' is not in memory (its weight is on the meta device, where accelerate leaves what it offloads); "
            "load the model whole on one device, or name edited modules that are not offloaded."
        )
    if not weight.is_floating_point() or weight.dtype.itemsize < 2:
        raise ModelError(
            f"'{name}' holds {weight.dtype} weights, which cannot be edited; "
            "leave the edited projections out of quantisation."
        )
    if weight is not module._parameters.get("weight"):
        raise ModelError(
            f"'{name}' makes its weight anew at every call ({type(module).__name__}, by a parametrization or pruning), "
            "so an edit would not last; remove that first."
        )
    if is_traceable_wrapper_subclass(weight):
        raise ModelError(
            f"'{name}' holds its weight as {type(weight).__name__} (quantised or spread over devices), which cannot be "
            "edited; leave the edited projections out of that."
        )
    if weight.is_inference():
        raise ModelError(
            f"'{name}' was made inside torch.inference_mode, where nothing can be differentiated; load the model "
            "outside of it."
        )


def _chunks(rows: int) -> list[slice]:
    return [slice(low, low + CHUNK_ROWS) for low in range(0, rows, CHUNK_ROWS)]


def edited_weights(
    model: PreTrainedModel, projections: Sequence[Projection]
) -> tuple[EditedWeight, ...]:
    """Take charge of the chosen projections.

    Raises ModelError where one of them shares its weight with another module, because editing it would silently
    edit the other.
    """
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor):
            owners.setdefault(id(weight), []).append(name)
    made = []
    for projection in projections:
        module = model.get_submodule(projection.name)
        _require_plain(projection.name, module)
        shared = [n for n in owners[id(module.weight)] if n != projection.name]
        if shared:
            raise ModelError(
                f"'{projection.name}' shares its weight with '{shared[0]}', so editing one would change both; "
                "choose modules that are not tied."
            )
        made.append(EditedWeight(projection, module))
    return tuple(made)


@contextmanager
def originals(weights: Sequence[EditedWeight]) -> Iterator[None]:
    """The unedited model, in the same process: swaps tensors, computes nothing, and swaps back on any exit."""
    live = [w.parameter.data for w in weights]
    for w in weights:
        w.parameter.data = w.original
    try:
        yield
    finally:
        for w, data in zip(weights, live, strict=True):
            w.parameter.data = data.to(w.parameter.dtype)  # which may have been changed meanwhile


@contextmanager
def shifted(weights: Sequence[EditedWeight], shifts: Mapping[str, Tensor]) -> Iterator[None]:
    """The model as it was with other shifts (time travel); the current ones come back on any exit."""
    kept = [w.shift for w in weights]
    try:
        for w in weights:
            w.shift = torch.zeros_like(w.shift)
            w.set_shift(shifts[w.name])
        yield
    finally:
        for w, shift in zip(weights, kept, strict=True):
            w.shift = shift
            w.write()
