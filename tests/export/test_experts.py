"""Edited experts leave the house as a merged checkpoint or a delta, to the bit, and as nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ultraedit.errors import UltraEditError
from ultraedit.export import apply_delta, export, open_folder
from ultraedit.model.load import load

from .conftest import Make

families = pytest.mark.parametrize("family", ["qwen2_moe", "gpt_oss"])


@families
def test_merged_and_delta_give_the_live_model_to_the_bit(
    family: str, make_case: Make, tmp_path: Path
) -> None:
    case = make_case(family)
    export(case.editor, "merged", tmp_path / "m")
    alone = AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()
    assert torch.equal(case.logits(alone), case.logits())
    export(case.editor, "delta", tmp_path / "d")
    model, _ = load(case.base)
    assert not torch.equal(case.logits(model), case.logits())
    described = apply_delta(model, tmp_path / "d")
    assert torch.equal(case.logits(model), case.logits())
    (module,) = described.modules
    (weight,) = case.editor.weights
    assert weight.experts == 5
    assert (module.name, module.shape) == (weight.name, tuple(weight.shift.shape))
    (stored,) = load_file(tmp_path / "d" / "delta.safetensors").values()
    # by (module, expert): expert e's rows follow those of e - 1
    assert stored.view_as(weight.parameter)[3].equal(weight.shift.view_as(weight.parameter)[3])
    # a folder of edited experts is opened again beside its base
    folder = open_folder(tmp_path / "m")
    export(folder, "delta", tmp_path / "again")
    again, _ = load(case.base)
    apply_delta(again, tmp_path / "again")
    assert torch.equal(case.logits(again), case.logits())


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("lora", r"'model\.layers\.2\.mlp\.experts' holds a layer's experts, for which"),
        ("gguf-lora", "gguf-lora is for Llama-like models .* and this one is 'qwen2_moe'"),
    ],
)
def test_adapters_of_experts_are_refused_in_one_sentence(
    to: str, sentence: str, make_case: Make, tmp_path: Path
) -> None:
    case = make_case("qwen2_moe")
    with pytest.raises(UltraEditError, match=sentence):
        export(case.editor, to, tmp_path / "a", records=case.records)
    assert not (tmp_path / "a").exists()
