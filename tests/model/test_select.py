"""Which maps are chosen, and what is said where none can be."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

import causal_classes
import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ModelError
from ultraedit.model.find import find_structure
from ultraedit.model.select import AUTO_DEPTH, PUBLISHED, select_projections
from ultraedit.settings import EditSettings


def chosen(model, modules) -> list[str]:
    return [p.name for p in select_projections(model, find_structure(model), modules)]


def test_auto_takes_down_maps_late_in_the_stack() -> None:
    low, high = AUTO_DEPTH
    blocks = [i for i in range(30) if low <= i / 30 < high]
    assert 15 < min(blocks) <= max(blocks) < 29  # the upper half, and not the last block
    deep = tiny.llama(num_hidden_layers=30)
    assert chosen(deep, "auto") == [f"model.layers.{i}.mlp.down_proj" for i in blocks]


@pytest.mark.parametrize(("depth", "block"), [(1, 0), (2, 0), (3, 1), (4, 2)])
def test_auto_takes_one_block_of_a_shallow_model(depth: int, block: int) -> None:
    model = tiny.llama(num_hidden_layers=depth)
    assert chosen(model, "auto") == [f"model.layers.{block}.mlp.down_proj"]


def test_names_and_globs_come_in_the_order_they_run() -> None:
    model = tiny.llama()
    found = chosen(model, ["model.layers.3.mlp.down_proj", "*.1.mlp.*_proj"])
    assert found == [
        "model.layers.1.mlp.gate_proj",
        "model.layers.1.mlp.up_proj",
        "model.layers.1.mlp.down_proj",
        "model.layers.3.mlp.down_proj",
    ]


def test_attention_maps_can_be_named() -> None:
    assert chosen(tiny.llama(), "*.2.self_attn.o_proj") == ["model.layers.2.self_attn.o_proj"]


def test_a_glob_without_a_match_is_quoted_with_examples() -> None:
    with pytest.raises(
        ModelError, match=r"matches '\*\.up_projection'.*model\.layers\.3\.mlp\.down_proj"
    ):
        chosen(tiny.llama(), ["*.down_proj", "*.up_projection"])


def test_paper_is_refused_where_nothing_was_published() -> None:
    with pytest.raises(
        ModelError, match=r"published no module choice for llama with 4 blocks of width 32"
    ):
        chosen(tiny.llama(), "paper")


def test_paper_takes_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table's rows are for models of 7B and more; a tiny row stands in for one."""
    settings = (("gate_proj", range(1, 2)), ("up_proj", range(2, 4)))
    monkeypatch.setitem(PUBLISHED, ("llama", 4, 32), settings)
    assert chosen(tiny.llama(), "paper") == [
        "model.layers.1.mlp.gate_proj",
        "model.layers.2.mlp.up_proj",
        "model.layers.3.mlp.up_proj",
    ]


MAMBA = hf.MambaConfig(
    vocab_size=tiny.VOCAB,
    hidden_size=16,
    state_size=4,
    num_hidden_layers=2,
    expand=2,
    conv_kernel=2,
)
MIXTRAL = hf.MixtralConfig(**tiny.BASE, **tiny.SIZES, num_local_experts=2, num_experts_per_tok=1)


@pytest.mark.parametrize(
    ("config", "name", "maps"),
    [
        (
            MAMBA,
            "MambaForCausalLM",
            [
                "backbone.layers.*.mixer.in_proj (16 to 64)",
                "backbone.layers.*.mixer.out_proj (32 to 16)",
                "lm_head (16 to 272)",
            ],
        ),
    ],
    ids=["state-space"],
)
def test_an_unsupported_structure_is_one_sentence_listing_the_maps(
    config: hf.PretrainedConfig, name: str, maps: list[str]
) -> None:
    """A mixer or an attention also ends in a map back to the hidden width: neither is taken for an MLP."""
    with pytest.raises(ModelError) as error:
        Editor(tiny.build(config), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    message = str(error.value)
    assert message.startswith(
        f"{name} cannot be edited by structure: the last linear map of block 0, "
    )
    for listed in maps:
        assert listed in message
    assert "\n" not in message


def test_a_model_that_cannot_be_split_is_told_before_anything_is_edited() -> None:
    model = causal_classes.build(hf.HrmTextConfig, hf.HrmTextForCausalLM)
    with pytest.raises(ModelError, match="cannot be run in parts"):
        Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))


@pytest.mark.parametrize(("config", "name"), [(MAMBA, "*.out_proj"), (MIXTRAL, "*.o_proj")])
def test_maps_of_mixers_and_of_attention_beside_experts_can_be_named(
    config: hf.PretrainedConfig, name: str
) -> None:
    """A mixer keeps no keys and values, and a head may ask for the routers' logits, which the parts do not have."""
    editor = Editor(
        tiny.build(config), tiny.tokenizer(), EditSettings(modules=name, text=tiny.TEXT)
    )
    written = editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    after = sum(r.probability_after for r in written.receipts)
    assert after > sum(r.probability_before for r in written.receipts)


def test_named_maps_need_no_recognised_mlp() -> None:
    """A Llama whose MLPs have a third sibling is not understood, but what is named can be edited."""
    model = tiny.llama()
    for layer in model.model.layers:
        layer.mlp.extra = torch.nn.Linear(8, 8)
        layer.mlp.register_module("down_proj", layer.mlp._modules.pop("down_proj"))  # keeps it last
    with pytest.raises(ModelError, match="is not beside one or two maps"):
        find_structure(model)
    names = [f"model.layers.{i}.mlp.down_proj" for i in (1, 2)]
    editor = Editor(model, tiny.tokenizer(), EditSettings(modules=names, text=tiny.TEXT))
    written = editor.edit_turn([Record(*fact) for fact in tiny.FEW])
    after = sum(r.probability_after for r in written.receipts)
    assert after > sum(r.probability_before for r in written.receipts)
