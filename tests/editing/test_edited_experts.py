"""Turns that edit the experts of a layer: against the literal twin, and what else an editor does with them."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerBase

import tiny
from twin_experts import ExpertsTwin
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.model.find import find_structure
from ultraedit.settings import EditSettings

FEW = [Record(*fact) for fact in tiny.FEW]


def editor_of(
    family: str, tokenizer: PreTrainedTokenizerBase, preset: str = "default", **changes: object
) -> Editor:
    settings = EditSettings(preset=preset, text=tiny.TEXT, form="raw", **changes)  # type: ignore[arg-type]
    return Editor(tiny.family(family), tokenizer, settings)


@pytest.mark.parametrize("family", tiny.EXPERT_FAMILIES)
def test_paper_equals_the_twin_that_goes_token_by_token(
    family: str, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    """The experts of two layers at once, over two turns; the twin runs in float64."""
    names = [
        p.name
        for p in find_structure(tiny.family(family)).projections
        if p.name.endswith(".experts") and p.block in (1, 2, 3)
    ][:2]
    editor = editor_of(family, byte_tokenizer, "paper", step=2e-4, modules=names)
    twin = ExpertsTwin(tiny.family(family), byte_tokenizer, names, 2e-4)
    for facts in (tiny.FEW[:3], tiny.FEW[1:]):
        editor.edit_turn([Record(*fact) for fact in facts])
        twin.turn(facts)
    for weight in editor.weights:
        expected = twin.model.get_submodule(weight.name).down_proj.detach().float()
        torch.testing.assert_close(weight.parameter.detach(), expected, atol=5e-5, rtol=0)
        moved = (weight.original.view_as(expected) - expected).flatten(1).norm(dim=1)
        assert (moved > 1e-3).sum() > 1  # more than one expert, and by more than rounding


@pytest.mark.parametrize("preset", ["thorough", "gentle", "stableedit", "finetune"])
def test_other_presets_teach_experts_too(
    preset: str, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    editor = editor_of("gpt_oss", byte_tokenizer, preset)
    written = editor.edit_turn(FEW)
    before = sum(r.probability_before for r in written.receipts)
    assert sum(r.probability_after for r in written.receipts) > before
    assert all(w.experts and w.shift.any() for w in editor.weights)


@pytest.mark.parametrize("preset", ["memit", "alphaedit", "lora"])
def test_methods_that_edit_plain_matrices_refuse_experts_in_one_sentence(
    preset: str, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(
        ConfigError, match=rf"{preset} does not edit experts, and 'model\.layers\.2\.mlp\.experts'"
    ):
        editor_of("mixtral", byte_tokenizer, preset)


def test_shared_experts_and_dense_layers_are_named_and_edited_as_ever(
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    names = ["model.layers.1.mlp.down_proj", "model.layers.2.mlp.experts"]
    names += ["model.layers.2.mlp.shared_experts.down_proj"]
    editor = editor_of("deepseek_v3", byte_tokenizer, modules=names)
    assert [(w.name, w.experts) for w in editor.weights] == list(
        zip(names, (None, 6, None), strict=True)
    )
    receipt = editor.edit_turn(FEW).receipts[0]
    assert all(moved > 0 for moved in receipt.moved.values())


def test_edits_of_experts_are_hidden_shown_and_taken_back_to_the_bit(
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    editor = editor_of("qwen3_moe", byte_tokenizer)
    (weight,) = editor.weights
    original = weight.parameter.detach().clone()
    editor.edit_turn(FEW[:2])
    first, state = weight.parameter.detach().clone(), editor.snapshot()
    version = editor.version()
    editor.edit_turn(FEW[2:])
    second = weight.parameter.detach().clone()
    assert not first.equal(second)
    for block, expected in (
        (editor.disable_edits(), original),
        (editor.as_of(state), first),
        (editor.reading(version), first),
    ):
        with block:
            shown = editor.model.get_parameter(weight.map.parameter_name)
            assert shown.shape == original.shape and shown.equal(expected)
            assert weight.map.live.equal(second)
        assert weight.parameter.equal(second)
    editor.restore(state)
    assert weight.parameter.equal(first)
    editor.edit_turn(FEW[2:])
    assert weight.parameter.equal(second)  # the same turn again, to the bit
    editor.reset()
    assert weight.parameter.equal(original)


def test_the_share_of_tokens_that_go_to_other_experts_is_read(
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    editor = editor_of("mixtral", byte_tokenizer, modules=["model.layers.1.mlp.experts"], step=1.0)
    probe = editor.routing()
    assert probe is not None
    still = probe.read()
    assert (still.changed, still.worst, still.tokens, still.layers) == (0, 0, 252, 2)
    editor.edit_turn(FEW)
    moved = probe.read()
    assert 0 < moved.changed <= moved.worst < 1
    with editor.disable_edits():
        assert probe.read() == still
    again = editor.routing()
    assert again is not None and again.read() == moved
    assert f"{moved.changed:.1%} of 252 tokens" in str(moved)
    # by hand, in one of the layers
    shares = []
    for block in (2, 3):
        sets = []
        gate = editor.model.get_submodule(f"model.layers.{block}.mlp.gate")
        handle = gate.register_forward_hook(lambda _m, _x, out, sets=sets: sets.append(out[2]))
        ids = probe._batch.suffix_ids
        with torch.no_grad():
            editor.model(input_ids=ids)
            with editor.disable_edits():
                editor.model(input_ids=ids)
        handle.remove()
        now, then = ([set(row) for row in s.tolist()] for s in sets)
        shares.append(sum(a != b for a, b in zip(now, then, strict=True)) / len(now))
    assert moved.changed == pytest.approx(sum(shares) / 2, abs=1e-9)


def test_a_model_without_experts_above_its_edits_has_no_routing_to_read(
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert editor_of("llama", byte_tokenizer).routing() is None
    top = editor_of("mixtral", byte_tokenizer, modules=["model.layers.3.mlp.experts"])
    assert top.routing() is None
