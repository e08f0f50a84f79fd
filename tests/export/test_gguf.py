"""gguf-lora: llama.cpp's names, shapes and keys, read back by llama.cpp's own reader."""

from __future__ import annotations

import gguf
import pytest
import torch

from ultraedit.errors import ModelError
from ultraedit.export import export
from ultraedit.export.gguf_adapter import gguf_names


def test_keys_names_and_shapes_are_llama_cpps(llama, tmp_path):
    done = llama.export("gguf-lora", tmp_path / "a.gguf", rank=8, force=True)
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    fields = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    assert fields["general.architecture"] == "llama"
    assert (fields["general.type"], fields["adapter.type"]) == ("adapter", "lora")
    assert fields["adapter.lora.alpha"] == 8.0
    found = {
        t.name: tuple(int(n) for n in t.shape) for t in reader.tensors
    }  # llama.cpp's order: innermost first
    assert found["blk.3.ffn_down.weight.lora_a"] == (64, 8)
    assert found["blk.3.ffn_down.weight.lora_b"] == (8, 32)
    assert found["blk.0.ffn_gate.weight.lora_a"] == (32, 8)
    assert found["blk.0.ffn_up.weight.lora_b"] == (8, 64)
    assert len(found) == 2 * len(llama.editor.weights)
    assert done.serve == (f"llama-server -m BASE.gguf --lora {tmp_path / 'a.gguf'}",)


def test_the_values_are_the_shift(llama, tmp_path):
    llama.export("gguf-lora", tmp_path / "a.gguf", rank=64, force=True)
    tensors = {
        t.name: torch.from_numpy(t.data.copy())
        for t in gguf.GGUFReader(tmp_path / "a.gguf").tensors
    }
    leaves = {"down_proj": "ffn_down", "up_proj": "ffn_up", "gate_proj": "ffn_gate"}
    for w in llama.editor.weights:
        name = f"blk.{w.projection.block}.{leaves[w.name.rpartition('.')[2]]}.weight"
        product = tensors[f"{name}.lora_b"] @ tensors[f"{name}.lora_a"]
        torch.testing.assert_close(product, w.shift, rtol=1e-4, atol=1e-5)


def test_it_is_measured_like_the_peft_adapter(llama, tmp_path):
    a = llama.export("gguf-lora", tmp_path / "a.gguf", rank=8, force=True).adapter
    b = llama.export("lora", tmp_path / "a", rank=8, force=True).adapter
    assert a == b


@pytest.mark.parametrize("name", ["gpt2", "phi3", "gemma3", "opt"])
def test_other_families_are_refused_in_one_sentence(make_case, tmp_path, name):
    case = make_case(name)
    with pytest.raises(
        ModelError, match=r"gguf-lora is for Llama-like models .*export --to merged"
    ):
        export(case.editor, "gguf-lora", tmp_path / "a.gguf", records=case.records)
    assert list(tmp_path.iterdir()) == []


def test_maps_that_llama_cpp_reorders_are_refused(llama):
    known, names = gguf_names(llama.editor.model, ["model.layers.1.self_attn.o_proj"])
    assert (known, list(names.values())) == ("llama", ["blk.1.attn_output.weight"])
    with pytest.raises(ModelError, match="stored in another way"):
        gguf_names(llama.editor.model, ["model.layers.1.self_attn.q_proj"])


def test_qwen_has_its_own_architecture(make_case, tmp_path):
    case = make_case("qwen2")
    case.export("gguf-lora", tmp_path / "a.gguf", rank=64, force=True)
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.fields["general.architecture"].contents() == "qwen2"
    assert "blk.3.ffn_down.weight.lora_a" in {t.name for t in reader.tensors}
