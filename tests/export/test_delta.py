"""delta: applies to its base to the bit, and to nothing else."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, ModelError
from ultraedit.export import apply_delta, export, read_delta
from ultraedit.model.load import load
from ultraedit.settings import EditSettings


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_applies_to_the_base_to_the_bit(case, tmp_path):
    export(case.editor, "delta", tmp_path / "d")
    model, _ = load(case.base)
    described = apply_delta(model, tmp_path / "d")
    assert _same(_weights(model), _weights(case.editor.model))
    assert (described.edits, described.turns, described.prompts) == (6, 1, "raw")
    assert sorted(f.name for f in (tmp_path / "d").iterdir()) == [
        "README.md",
        "delta.json",
        "delta.safetensors",
    ]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_is_exact_in_half_precision_and_in_the_published_form(make_case, tmp_path, dtype, preset):
    case = make_case("llama", dtype, preset)
    export(case.editor, "delta", tmp_path / "d")
    model, _ = load(case.base)
    apply_delta(model, tmp_path / "d")
    assert _same(_weights(model), _weights(case.editor.model))
    stored = load_file(tmp_path / "d" / "delta.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.float32}


def test_a_weight_that_its_shift_does_not_reproduce_is_stored_itself(tmp_path):
    editor = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(preset="fast", text="The mill stands by the river."),
    )
    editor.edit("Bram was born in", "Lund")
    weight = editor.weights[0]
    weight.parameter.data[0, 0] += 1e-3  # as a sum rounded elsewhere would be
    export(editor, "delta", tmp_path / "d")
    assert [m.stored for m in read_delta(tmp_path / "d").modules] == ["weight"]
    model = tiny.llama()
    apply_delta(model, tmp_path / "d")
    assert _same(_weights(model), _weights(editor.model))


def test_another_model_of_the_same_shape_is_refused_and_left_alone(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    other = tiny.build(tiny.CONFIGS["llama"](), seed=1)
    before = _weights(other)
    with pytest.raises(
        ModelError, match=r"is not the weight .*d' was made from; load the unedited base"
    ):
        apply_delta(other, tmp_path / "d")
    assert _same(_weights(other), before)


def test_an_already_edited_model_is_refused(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    model, _ = load(llama.base)
    apply_delta(model, tmp_path / "d")
    with pytest.raises(ModelError, match="load the unedited base"):
        apply_delta(model, tmp_path / "d")


def test_the_last_of_several_weights_is_checked_before_the_first_is_changed(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    model, _ = load(llama.base)
    model.get_submodule(llama.editor.weights[-1].name).weight.data[0, 0] += 1
    before = _weights(model)
    with pytest.raises(ModelError, match="load the unedited base"):
        apply_delta(model, tmp_path / "d")
    assert _same(_weights(model), before)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            lambda: tiny.llama(torch.bfloat16),
            r"in float32 and this model is in bfloat16; load it with dtype float32",
        ),
        (
            lambda: tiny.family("gpt2"),
            r"edits 'model.layers.0.mlp.gate_proj', which this GPT2LMHeadModel",
        ),
    ],
)
def test_other_dtypes_and_families_are_refused_in_one_sentence(llama, tmp_path, model, sentence):
    export(llama.editor, "delta", tmp_path / "d")
    with pytest.raises(ModelError, match=sentence):
        apply_delta(model(), tmp_path / "d")


def test_a_changed_byte_is_found(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    file = tmp_path / "d" / "delta.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError, match="changed or damaged"):
        apply_delta(tiny.llama(), tmp_path / "d")


def test_an_edited_description_is_found(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    file = tmp_path / "d" / "delta.json"
    content = json.loads(file.read_text())
    content["modules"][0]["edited_sha256"] = "0" * 64
    file.write_text(json.dumps(content))
    model, _ = load(llama.base)
    with pytest.raises(ModelError, match="the weights it was exported with"):
        apply_delta(model, tmp_path / "d")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c | {"version": 2}, r"not a delta of version 1 \(version"),
        (lambda c: c | {"surprise": 1}, r"surprise"),
        (lambda c: c | {"modules": c["modules"][:1]}, "changed or damaged"),
    ],
)
def test_descriptions_of_another_kind_are_refused(llama, tmp_path, change, sentence):
    export(llama.editor, "delta", tmp_path / "d")
    file = tmp_path / "d" / "delta.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ModelError, match=sentence):
        apply_delta(tiny.llama(), tmp_path / "d")


def test_a_folder_without_a_delta_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds no readable delta\.json"):
        apply_delta(tiny.llama(), tmp_path)


def test_tensors_of_another_shape_are_refused(llama, tmp_path):
    export(llama.editor, "delta", tmp_path / "d")
    file = tmp_path / "d" / "delta.safetensors"
    tensors = {name: t[:1].clone() for name, t in load_file(file).items()}
    save_file(tensors, file)
    description = tmp_path / "d" / "delta.json"
    import hashlib

    content = json.loads(description.read_text())
    content["tensors_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    description.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="another shape"):
        apply_delta(tiny.llama(), tmp_path / "d")


def test_nothing_edited_is_nothing_to_export(tmp_path):
    editor = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(preset="paper"))
    with pytest.raises(ConfigError, match="nothing has been edited"):
        export(editor, "delta", tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
