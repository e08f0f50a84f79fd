"""The preset `paper` against the literal twin of the published code, family by family."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import tiny
from twin import Twin
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.model.find import find_structure
from ultraedit.settings import EditSettings

ETA = 2e-4
"""Strong for a tiny model (weights of 0.1 move by as much over the ten turns), short of chaos."""

TURNS = [tiny.FACTS, *(tiny.FACTS[k : k + 3] for k in range(9))]
"""Ten turns; the first has a partial last micro-batch (10 + 3), and later ones give some facts again."""


def names_of(model: PreTrainedModel, *roles: str) -> list[str]:
    return [
        p.name for p in find_structure(model).projections if p.block in (1, 2) and p.role in roles
    ]


def assert_agrees(editor: Editor, twin: Twin, tolerance: float = 1e-5) -> None:
    for weight in editor.weights:
        expected = twin.model.get_submodule(weight.name).weight.detach()
        torch.testing.assert_close(weight.parameter.detach(), expected, atol=tolerance, rtol=0)
    assert set(editor.statistics.published) == set(twin.statistics)
    for shape, expected in twin.statistics.items():
        found = editor.statistics.published[shape]
        assert found.count == expected.n.item()
        for field in ("mean", "std"):
            theirs = getattr(expected, field)
            torch.testing.assert_close(
                getattr(found, field), theirs, atol=tolerance, rtol=tolerance
            )
        scale = expected.var.max().item()  # a sum over all rows: compare it relative to its size
        torch.testing.assert_close(found.var, expected.var, atol=tolerance * scale, rtol=tolerance)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_paper_equals_the_twin_over_ten_turns(
    family: str, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    """All MLP maps of two blocks: two weight shapes (gate/up and down), statistics pooled over each."""
    model = tiny.family(family)
    names = names_of(model, "up", "down")
    before = [model.get_submodule(name).weight.clone() for name in names]
    editor = Editor(model, byte_tokenizer, EditSettings(preset="paper", step=ETA, modules=names))
    twin = Twin(tiny.family(family), byte_tokenizer, names, ETA)
    for facts in TURNS:
        editor.edit_turn([Record(*fact) for fact in facts])
        twin.turn(facts)
        assert_agrees(editor, twin)
    moved = [(w.parameter - b).abs().max() for w, b in zip(editor.weights, before, strict=True)]
    assert min(moved) > 1e-3  # agreement about nothing would prove nothing


def test_paper_follows_the_twin_in_bf16(byte_tokenizer: PreTrainedTokenizerBase) -> None:
    """Keys and gradients come from batches of other shapes, so bf16 rounds them differently: direction only."""
    model = tiny.llama(torch.bfloat16)
    names = names_of(model, "down")
    editor = Editor(model, byte_tokenizer, EditSettings(preset="paper", step=ETA, modules=names))
    twin = Twin(tiny.llama(torch.bfloat16), byte_tokenizer, names, ETA)
    editor.edit_turn([Record(*fact) for fact in tiny.FACTS])
    twin.turn(tiny.FACTS)
    for weight in editor.weights:
        live = twin.model.get_submodule(weight.name).weight.detach()
        expected = live.float() - weight.original.float()
        cosine = torch.cosine_similarity(weight.shift.flatten(), expected.flatten(), dim=0)
        assert cosine > 0.9
        torch.testing.assert_close(
            weight.original.float() + weight.shift, weight.parameter.float(), atol=0, rtol=0
        )


def test_one_shape_pools_modules_and_two_shapes_do_not(
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = tiny.llama()
    tokens = sum(
        len(byte_tokenizer(" " + t, add_special_tokens=False)["input_ids"]) for _, t in tiny.FEW
    )
    editor = Editor(
        model, byte_tokenizer, EditSettings(preset="paper", modules=names_of(model, "up", "down"))
    )
    editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    counts = {shape: m.count for shape, m in editor.statistics.published.items()}
    assert counts == {(32, 64): 4 * tokens, (64, 32): 2 * tokens}
