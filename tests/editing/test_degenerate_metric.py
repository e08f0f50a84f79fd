"""A metric that fp32 cannot factor refuses the turn in one sentence; model and statistics stay as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tiny
from ultraedit.core import turn as turn_module
from ultraedit.core.metric import DenseMetric
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import NumericalError
from ultraedit.settings import EditSettings


def test_an_indefinite_metric_is_refused(tiny_model, byte_tokenizer) -> None:
    editor = Editor(
        tiny_model, byte_tokenizer, EditSettings(preset="default", text=tiny.TEXT, form="raw")
    )
    broken = tuple(DenseMetric(-torch.eye(w.projection.d_in)) for w in editor.weights)
    editor.statistics = replace(editor.statistics, metrics=broken)
    before = [w.parameter.detach().clone() for w in editor.weights]
    with pytest.raises(NumericalError, match="cannot be factored"):
        editor.edit_turn([Record(*fact) for fact in tiny.FACTS[:3]])
    assert all(torch.equal(w.parameter, b) for w, b in zip(editor.weights, before, strict=True))
    assert editor.edits == 0 and editor.statistics.metrics == broken


def test_a_method_without_a_metric_is_not_told_to_change_its_text(
    tiny_model, byte_tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def singular(*args: object) -> None:
        raise torch.linalg.LinAlgError("not positive-definite")

    editor = Editor(tiny_model, byte_tokenizer, EditSettings(preset="paper", form="raw"))
    monkeypatch.setattr(turn_module, "solver", singular)
    with pytest.raises(NumericalError, match=r"untouched: use a larger ridge, or turns with"):
        editor.edit_turn([Record(*fact) for fact in tiny.FACTS[:3]])
