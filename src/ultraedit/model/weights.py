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
        if not parameter.is_floating_point() or parameter.dtype.itemsize < 2:
            raise ModelError(
                f"'{projection.name}' holds {parameter.dtype} weights, which cannot be edited; "
                "leave the edited projections out of quantisation."
            )
        self.original = parameter.detach().clone()
        self.shift = torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)

    @property
    def name(self) -> str:
        return self.projection.name

    @property
    def parameter(self) -> nn.Parameter:
        return self.module.weight  # type: ignore[return-value]

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
                live[rows] = (self.original[rows].float() + (self.shift[rows] + delta)).to(
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
            torch.sub(self.parameter.data.float(), self.original.float(), out=self.shift)
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
            live[rows] = (self.original[rows].float() + self.shift[rows]).to(live.dtype)

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the original weight."""
        return max(float(torch.linalg.vector_norm(self.original.float())), 1e-30)

    def shift_ratio(self) -> float:
        """||shift|| / ||original||, Frobenius."""
        return float(torch.linalg.vector_norm(self.shift)) / self.norm


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
            w.parameter.data = data


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
