"""One turn of closed-form editing, to be read beside its equations.

An edited map takes keys h to outputs.  A turn holds n answer tokens; token i has a key h_i, a row of H, and a value
gradient g_i, the loss's gradient at the map's output.

    (1)  h_i, g_i                                      traced in the model as it is now
    (2)  S  <-  S (+) {h_i, g_i}                       lifelong normalisation: running statistics of all turns
    (3)  v_i  =  -step(h_i; S) N(g_i; S)               the output's displacement, a row of V
    (4)  M                                             what must not move: I, ordinary text, earlier turns' keys
    (5)  D  =  M^-1 H' (H M^-1 H' + ridge I)^-1 V      least squares: H D near V, and D small as M measures it
    (6)  W  <-  W + D'
    (7)  M  <-  M + H'H                                later turns go round this one

A method may add rows of answers that should stay as they are: their g is the slope of KL to the unedited model, and
(3) to (6) pull them back where the turn moves them.  They are no edits, so (2) and (7) leave them out.

UltraEdit (arXiv 2505.14679) is (1) to (6) with M = I and ridge 1, once a turn.  Several smaller steps repeat (1), (3),
(5) and (6) with new gradients and the first step's keys.  What (2), (3), (4) and (7) are is the method's to say
(`methods/`); how the model is traced and written is the model's.  `docs/method.md` says why each is as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.metric import Metric
from ultraedit.core.solve import DualSolver, PrimalSolver, Update, solver

TurnStateType = TypeVar("TurnStateType", bound="TurnState")


@runtime_checkable  # so that the tests can check the argument types
class Rows(Protocol):
    """(1) for some edits of a turn, one entry a map."""

    @property
    def keys(self) -> tuple[Float[Tensor, "n _"], ...]:
        """n x d_in, fp32."""
        ...

    @property
    def grads(self) -> tuple[Float[Tensor, "n _"], ...]:
        """n x d_out, fp32."""
        ...

    @property
    def stays(self) -> bool:
        """Whether these are answers that should stay as they are, and no edits."""
        ...


@runtime_checkable
class TurnModel(Protocol):
    """The model's side of a turn."""

    def trace(self, step: int) -> Sequence[Rows]:
        """(1) at the weights of now; nothing once no edit is left to write."""
        ...

    def preview(self, updates: Sequence[Update]) -> None:
        """(6), to be taken back or made final later."""
        ...

    def phase(self, name: str) -> AbstractContextManager[object]:
        """Told what is being done: "statistics" or "solve"."""
        ...


@runtime_checkable
class TurnState(Protocol):
    """The method's side of a turn: what it remembers.  Immutable, so a refused turn leaves the old one as it was."""

    @property
    def steps(self) -> int:
        """Times that (3), (5) and (6) are done."""
        ...

    @property
    def ridge(self) -> float: ...

    @property
    def relative_ridge(self) -> bool:
        """Whether the ridge is a multiple of the mean diagonal of H M^-1 H'."""
        ...

    def observe(self: TurnStateType, rows: Sequence[Rows]) -> TurnStateType:
        """(2)."""
        ...

    def values(self, module: int, rows: Sequence[Rows]) -> Float[Tensor, "n d_out"]:
        """(3)."""
        ...

    def metric(self, module: int) -> Metric | None:
        """(4); None is the identity."""
        ...

    def remember(self: TurnStateType, rows: Sequence[Rows]) -> TurnStateType:
        """(7)."""
        ...


def write_turn(model: TurnModel, state: TurnStateType) -> tuple[list[Update], TurnStateType]:
    """(1) to (7): the update of each map over all steps, and the state after the turn.

    Raises LinAlgError where (5) has no solution in fp64 either.
    """
    first = rows = model.trace(0)  # (1)
    with model.phase("statistics"):
        state = state.observe(edits_of(rows))  # (2)
    systems: list[DualSolver | PrimalSolver] = []
    for i in range(len(first[0].keys)):
        with model.phase("solve"):  # a phase a map: others may be served between two of them
            systems.append(factor(state, first, i))  # (4), and the left side of (5)
    updates: list[Update] = []
    for step in range(state.steps):
        if step:
            rows = model.trace(step)
            if not rows:
                break
        own: list[Update] = []
        for i, system in enumerate(systems):
            with model.phase("solve"):
                own.append(system.solve(state.values(i, rows)))  # (3), (5)
        with model.phase("solve"):
            updates = add(updates, own)
        model.preview(updates)  # (6)
    with model.phase("statistics"):
        return updates, state.remember(edits_of(first))  # (7)


def factor(state: TurnState, rows: Sequence[Rows], module: int) -> DualSolver | PrimalSolver:
    """The left side of (5) for one map, factored once a turn.

    The keys of the first step serve all its steps: later ones move the keys of the upper maps a little, which costs no
    accuracy that we could measure and saves a factorisation a step.
    """
    return solver(keys_of(rows, module), state.ridge, state.metric(module), state.relative_ridge)


def add(updates: Sequence[Update], steps: Sequence[Update]) -> list[Update]:
    """The updates of earlier steps and this one's.  They share their left sides, the first step's keys."""
    if not updates:
        return list(steps)
    return [Update(s.left, u.right + s.right) for u, s in zip(updates, steps, strict=True)]


def edits_of(rows: Sequence[Rows]) -> list[Rows]:
    """Without the answers that should stay."""
    return [r for r in rows if not r.stays]


def keys_of(rows: Sequence[Rows], module: int) -> Float[Tensor, "n d_in"]:
    """H of one map."""
    return torch.cat([r.keys[module] for r in rows])


def grads_of(rows: Sequence[Rows], module: int) -> Float[Tensor, "n d_out"]:
    """G of one map."""
    return torch.cat([r.grads[module] for r in rows])
