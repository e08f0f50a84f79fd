"""A turn engine on a model, without an Editor: for models with random weights and no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from ultraedit.methods.calibration import measure
from ultraedit.methods.closed_form import Batching, ClosedForm, TurnEngine
from ultraedit.model.find import find_structure
from ultraedit.model.runner.local import LocalRunner
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack
from ultraedit.model.weights import edited_weights


def engine_on(
    model: PreTrainedModel,
    modules: str | Sequence[str],
    how: ClosedForm,
    windows: Sequence[list[int]],
    batching: Batching | None = None,
) -> TurnEngine:
    """The method at work on these maps; `windows` are the token ids of the text that is measured."""
    structure = find_structure(model)
    projections = select_projections(model, structure, modules)
    weights = edited_weights(model, projections)
    stack = Stack(model, structure, min(p.block for p in projections))
    runner = LocalRunner(stack, weights)
    return TurnEngine(runner, weights, measure(runner, weights, windows, how), how, batching)
