"""Every supported family: structure, split run, and one turn that teaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.model.batch import make_batch
from ultraedit.model.cache import Shared
from ultraedit.model.check import check_split
from ultraedit.model.find import find_structure
from ultraedit.model.generate import greedy_ids
from ultraedit.model.stack import Stack
from ultraedit.model.trace import trace
from ultraedit.model.weights import edited_weights
from ultraedit.settings import EditSettings

# family -> (path of the blocks, [(map inside a block, role, d_in, d_out)])
GATED = [
    ("mlp.gate_proj", "up", 32, 64),
    ("mlp.up_proj", "up", 32, 64),
    ("mlp.down_proj", "down", 64, 32),
]
EXPECTED: dict[str, tuple[str, list[tuple[str, str, int, int]]]] = {
    "llama": ("model.layers", GATED),
    "mistral": ("model.layers", GATED),
    "qwen2": ("model.layers", GATED),
    "qwen3": ("model.layers", GATED),
    "phi3": (
        "model.layers",
        [("mlp.gate_up_proj", "up", 32, 128), ("mlp.down_proj", "down", 64, 32)],
    ),
    "phi4": (
        "model.layers",
        [("mlp.gate_up_proj", "up", 64, 448), ("mlp.down_proj", "down", 224, 64)],
    ),
    "gemma2": ("model.layers", GATED),
    "gemma3_text": ("model.layers", GATED),
    "gemma3": ("model.language_model.layers", GATED),
    "gpt2": (
        "transformer.h",
        [("mlp.c_fc", "up", 32, 128), ("mlp.c_proj", "down", 128, 32)],
    ),
    "gptj": (
        "transformer.h",
        [("mlp.fc_in", "up", 32, 128), ("mlp.fc_out", "down", 128, 32)],
    ),
    "neox": (
        "gpt_neox.layers",
        [("mlp.dense_h_to_4h", "up", 32, 64), ("mlp.dense_4h_to_h", "down", 64, 32)],
    ),
    "opt": ("model.decoder.layers", [("fc1", "up", 32, 64), ("fc2", "down", 64, 32)]),
}


@pytest.fixture(params=(*tiny.FAMILIES, *tiny.EXPERT_FAMILIES))
def family_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A fresh tiny model of each family in turn, mixtures of experts too."""
    return tiny.family(request.param)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_structure_is_found(family: str) -> None:
    model = tiny.family(family)
    structure = find_structure(model)
    blocks, maps = EXPECTED[family]
    assert structure.blocks_name == blocks
    assert structure.blocks is model.get_submodule(blocks)
    assert structure.depth == 4
    found = [(p.name, p.block, p.role, p.d_in, p.d_out) for p in structure.projections]
    assert found == [(f"{blocks}.{i}.{name}", i, *rest) for i in range(4) for name, *rest in maps]


def test_split_run_equals_the_own_forward(family_model: PreTrainedModel) -> None:
    structure = find_structure(family_model)
    for first in range(structure.depth):
        check_split(Stack(family_model, structure, first))


def test_trunk_is_the_input_of_the_first_edited_block(family_model: PreTrainedModel) -> None:
    """Against a run of the whole model, padding columns aside (they may hold anything)."""
    structure = find_structure(family_model)
    stack = Stack(family_model, structure, 2)
    batch = make_batch([([5, 6, 7, 8], [9, 10]), ([11, 12], [13])], [0, 1])
    seen = []
    handle = structure.blocks[2].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    family_model(
        input_ids=torch.cat([batch.prefix_ids, batch.suffix_ids], 1),
        attention_mask=batch.mask.long(),
        position_ids=batch.positions,
        use_cache=False,
    )
    handle.remove()
    trunk = stack.trunk(batch)
    torch.testing.assert_close(trunk[batch.mask], seen[0][batch.mask], atol=1e-6, rtol=1e-6)


def test_tokens_that_all_rows_begin_with_are_run_once(family_model: PreTrainedModel) -> None:
    """Trunk, keys, gradients and probabilities are those of running them row by row."""
    begin = list(range(20, 30))
    pairs = [([*begin, 5, 6, 7, 8], [9, 10]), ([*begin, 11], [13]), ([*begin, 3, 2], [4, 5, 6])]
    pairs += [([*begin, 7], [8, 9, 10])]  # nothing but shared tokens lies in the second's prefix
    config = family_model.get_decoder().config
    if getattr(config, "sliding_window", None):
        config.sliding_window = 64  # a window shorter than the rows would share nothing
    structure = find_structure(family_model)
    stack = Stack(family_model, structure, 2)
    check_split(stack)
    weights = edited_weights(family_model, structure.projections[-1:])
    once, each = stack.batch(pairs, range(4)), make_batch(pairs, range(4))
    assert (len(once.shared), len(each.shared)) == (8, 0)
    trunks = stack.trunk(once), stack.trunk(each)
    close(trunks[0][once.mask], trunks[1][each.mask])
    with_prefix = stack.prefix(once, trunks[0])
    found = (
        trace(stack, weights, once, trunks[0], "sum", with_prefix),
        trace(stack, weights, each, trunks[1], "sum"),
    )
    for a, b in zip(found[0].keys + found[0].grads, found[1].keys + found[1].grads, strict=True):
        close(a, b)
    close(found[0].log_probs, found[1].log_probs)
    for i in range(len(pairs)):  # a row that is left alone, with the gap that it had
        alone = trace(stack, weights, once.only(torch.tensor([i])), trunks[0][i : i + 1], "sum")
        mine = found[0].owner == i
        assert alone.owner.tolist() == [i] * int(mine.sum())
        close(alone.log_probs, found[0].log_probs[mine])
        close(alone.grads[0], found[0].grads[0][mine])


def test_shared_tokens_are_run_for_one_row(family_model: PreTrainedModel) -> None:
    structure = find_structure(family_model)
    stack = Stack(family_model, structure, 2)
    begin = list(range(20, 28))
    pairs = [([*begin, 5, 6], [9]), ([*begin, 11, 4], [13]), ([*begin, 3, 2], [6])]
    seen: list[int] = []
    handle = structure.blocks[0].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(
            (args[0] if args else kwargs["hidden_states"]).shape[:-1].numel()
        ),
        with_kwargs=True,
    )
    stack.trunk(stack.batch(pairs, range(3)))
    handle.remove()
    windowed = stack.share < 10
    assert seen == ([30] if windowed else [8, 6])


def test_what_ran_before_does_not_change_the_bits_of_a_trunk(tiny_model: PreTrainedModel) -> None:
    structure = find_structure(tiny_model)
    begin = list(range(20, 30))
    longer = [([*begin, 5, 6], [9]), ([*begin, 11, 4], [13])]
    shorter = [([*begin[:8], 5, 6], [9]), ([*begin[:8], 11, 4], [13])]
    fresh, used = (Stack(tiny_model, structure, 2) for _ in range(2))
    for stack in (fresh, used):
        assert stack._shared is None
    used.trunk(used.batch(longer, range(2)))
    assert used._shared is not None and len(used._shared.ids) == 10
    again = used.trunk(used.batch(shorter, range(2)))
    assert again.equal(fresh.trunk(fresh.batch(shorter, range(2))))
    assert used._shared.ids == fresh._shared.ids == tuple(begin[:8])  # type: ignore[union-attr]


def test_a_family_whose_shared_tokens_come_out_otherwise_shares_none(
    tiny_model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(tiny_model, find_structure(tiny_model), 2)
    run = Stack._share

    def wrong(*args: Any) -> Shared | None:
        found = run(*args)
        return None if found is None else replace(found, hidden=found.hidden + 1.0)

    monkeypatch.setattr(Stack, "_share", wrong)
    assert stack.share > 0
    check_split(stack)
    assert stack.share == 0


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", ["default", "fast"])
def test_one_turn_raises_the_targets_probability(
    preset: str, family_model: PreTrainedModel, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    editor = Editor(family_model, byte_tokenizer, EditSettings(preset=preset, text=tiny.TEXT))
    written = editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    before = sum(r.probability_before for r in written.receipts)
    after = sum(r.probability_after for r in written.receipts)
    assert after > before
    assert all(0 < moved < 1 for moved in written.receipts[0].moved.values())


def test_only_edited_weights_change(
    family_model: PreTrainedModel, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    before = {name: p.clone() for name, p in family_model.named_parameters()}
    editor = Editor(family_model, byte_tokenizer, EditSettings(text=tiny.TEXT))
    editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    edited = {w.map.parameter_name for w in editor.weights}
    changed = {n for n, p in family_model.named_parameters() if not p.equal(before[n])}
    assert changed == edited


def test_batched_generation_equals_one_prompt_at_a_time(
    family_model: PreTrainedModel, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    """Left padding, position ids and caches (sliding windows too) change nothing."""
    prompts = [byte_tokenizer(prompt)["input_ids"] for prompt, _ in tiny.FEW]
    together = greedy_ids(family_model, prompts, 6, frozenset())
    for prompt, found in zip(prompts, together, strict=True):
        assert found == tiny.greedy_by_hand(family_model, prompt, 6)
