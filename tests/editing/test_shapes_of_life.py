"""What models come as: shared weights, other blocks, tokenizers without this or that."""

from __future__ import annotations

import pytest
import torch
import transformers as hf
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import causal_classes
import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ModelError
from ultraedit.settings import EditSettings

TURN = [Record(*fact) for fact in tiny.FEW]


def editor(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None, form: str = "raw"
) -> Editor:
    settings = EditSettings(text=tiny.TEXT, form=form, steps=2)  # type: ignore[arg-type]
    return Editor(model, tokenizer or tiny.tokenizer(), settings)


def learns(e: Editor) -> None:
    written = e.edit_turn(TURN)
    before = sum(r.probability_before for r in written.receipts)
    assert sum(r.probability_after for r in written.receipts) > before
    assert isinstance(e.ask("The mayor of Tasp is", max_new_tokens=4).edited, str)


# -- shared weights ----------------------------------------------------------------------------------


def test_two_parameters_on_one_storage_are_named() -> None:
    """As some loaders and `torch.nn.utils` leave them: other objects, the same numbers."""
    model = tiny.llama()
    layers = model.model.layers
    layers[1].mlp.down_proj.weight = nn.Parameter(layers[2].mlp.down_proj.weight.data)
    told = r"'model\.layers\.2\.mlp\.down_proj' shares its weight with 'model\.layers\.1\.mlp\.down_proj'"
    with pytest.raises(ModelError, match=told):
        editor(model)


def test_two_parts_of_one_storage_are_two_weights() -> None:
    model, plain = tiny.llama(), tiny.llama()
    downs = [block.mlp.down_proj for block in model.model.layers]
    whole = torch.stack([down.weight.data for down in downs])
    for down, part in zip(downs, whole, strict=True):
        down.weight = nn.Parameter(part)
    found, wanted = editor(model), editor(plain)
    for each in (found, wanted):
        each.edit_turn(TURN)
    assert all(
        a.parameter.equal(b.parameter) for a, b in zip(found.weights, wanted.weights, strict=True)
    )
    assert whole[1].equal(plain.model.layers[1].mlp.down_proj.weight)


def test_parts_that_overlap_are_named() -> None:
    model = tiny.llama()
    shared = torch.randn(64, 64)
    model.model.layers[2].mlp.down_proj.weight = nn.Parameter(shared[:32])
    model.model.layers[1].mlp.down_proj.weight = nn.Parameter(shared[31:63])
    with pytest.raises(ModelError, match=r"shares its weight with 'model\.layers\.1\.mlp"):
        editor(model)


def test_a_tie_that_only_the_model_lists_is_named() -> None:
    """An offloaded weight has no storage to compare."""
    model = tiny.llama()
    name = "model.layers.2.mlp.down_proj"
    model.all_tied_weights_keys = {"model.twin.weight": f"{name}.weight"}
    with pytest.raises(ModelError, match=rf"'{name}' shares its weight with 'model\.twin'"):
        editor(model)


# -- blocks of other kinds ---------------------------------------------------------------------------

BLOCKS: dict[str, str] = {
    # attention and MLP side by side
    "FalconConfig": "transformer.h.2.mlp.dense_4h_to_h",
    "CohereConfig": "model.layers.2.mlp.down_proj",
    "GPTJConfig": "transformer.h.2.mlp.fc_out",
    # state-space and linear attention, alone or among others
    "JambaConfig": "model.layers.2.feed_forward.down_proj",
    "Qwen3NextConfig": "model.layers.2.mlp.experts",
    "FalconH1Config": "model.layers.2.feed_forward.down_proj",
    "Lfm2Config": "model.layers.2.feed_forward.w2",
}
"""Config class -> the map that `auto` edits."""


def built(name: str) -> PreTrainedModel:
    return causal_classes.build(*next(p for p in causal_classes.classes() if p[0].__name__ == name))


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_with_an_mlp_are_edited(name: str) -> None:
    e = editor(built(name))
    assert [w.name for w in e.weights] == [BLOCKS[name]]
    learns(e)


@pytest.mark.parametrize("name", ["MambaConfig", "Mamba2Config", "FalconMambaConfig"])
def test_blocks_without_one_are_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="is not beside one or two maps") as refusal:
        editor(built(name))
    assert "\n" not in str(refusal.value)


def test_the_language_part_of_a_vision_model_is_edited() -> None:
    config = hf.LlavaConfig(
        text_config=tiny.CONFIGS["llama"]().to_dict(),
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "projection_dim": 16,
        },
        image_token_index=tiny.VOCAB - 1,
    )
    torch.manual_seed(0)
    model = hf.LlavaForConditionalGeneration(config).eval()
    before = {name: p.clone() for name, p in model.named_parameters()}
    e = editor(model)
    learns(e)
    changed = [name for name, p in model.named_parameters() if not p.equal(before[name])]
    assert changed == [f"{w.name}.weight" for w in e.weights]
    assert "language_model" in changed[0]


# -- tokenizers without this or that -----------------------------------------------------------------


@pytest.mark.parametrize("bos", [True, False])
def test_no_padding_no_template(bos: bool) -> None:
    tokenizer = tiny.tokenizer(bos=bos)
    tokenizer.pad_token = None
    if not bos:
        tokenizer.bos_token = None
    model = tiny.llama(pad_token_id=None, bos_token_id=None)
    learns(editor(model, tokenizer, "auto"))


def test_a_template_that_refuses_a_system_message() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + tiny.TEMPLATE
    )
    e = editor(tiny.llama(), tokenizer, "auto")
    assert e.form == "chat"
    learns(e)
