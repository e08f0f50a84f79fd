"""merged: transformers alone loads it, and it is the live model to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

import tiny
from ultraedit.editing.editor import Editor
from ultraedit.errors import ModelError
from ultraedit.export import apply_delta, export, open_folder
from ultraedit.export.merged import shard_as
from ultraedit.model.load import load
from ultraedit.settings import EditSettings


def _load(folder: Path, name: str):
    cls = AutoModelForImageTextToText if name == "gemma3" else AutoModelForCausalLM
    return cls.from_pretrained(folder).eval()


def test_loads_with_transformers_alone_and_gives_the_same_logits(case, tmp_path):
    done = export(case.editor, "merged", tmp_path / "m")
    model = _load(tmp_path / "m", case.base.name)
    assert torch.equal(case.logits(model), case.logits())
    assert (
        case.editor.tokenizer("mill")["input_ids"]
        == AutoTokenizer.from_pretrained(tmp_path / "m")("mill")["input_ids"]
    )
    assert done.bytes == sum(f.stat().st_size for f in (tmp_path / "m").iterdir())
    assert str(tmp_path / "m") in done.serve[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_keeps_the_dtype_of_the_base(make_case, tmp_path, dtype):
    case = make_case("llama", dtype)
    export(case.editor, "merged", tmp_path / "m")
    model = _load(tmp_path / "m", "llama")
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert torch.equal(case.logits(model), case.logits())


def test_keeps_the_sharding_of_the_base(tmp_path):
    base = tmp_path / "base"
    tiny.llama().save_pretrained(base, max_shard_size="60KB")
    tiny.tokenizer().save_pretrained(base)
    editor = Editor.from_pretrained(
        base, EditSettings(preset="fast", text="The mill stands by the river.")
    )
    editor.edit("Bram was born in", "Lund")
    export(editor, "merged", tmp_path / "m")
    index = "model.safetensors.index.json"
    shards = [
        json.loads((folder / index).read_text())["weight_map"] for folder in (base, tmp_path / "m")
    ]
    assert len(set(shards[0].values())) > 2
    assert shards[0] == shards[1]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    live = editor.model.state_dict()
    assert all(torch.equal(value, live[name]) for name, value in model.state_dict().items())
    assert sorted(f.name for f in (tmp_path / "m").glob("*safetensors*")) == sorted(
        f.name for f in base.glob("*safetensors*")
    )


def test_a_base_that_names_its_tensors_otherwise_does_not_change_the_layout(llama, tmp_path):
    base = tmp_path / "base"
    tiny.llama(num_hidden_layers=3).save_pretrained(base, max_shard_size="60KB")
    export(llama.editor, "merged", tmp_path / "m")
    before = sorted(f.name for f in (tmp_path / "m").iterdir())
    shard_as(tmp_path / "m", base)
    assert sorted(f.name for f in (tmp_path / "m").iterdir()) == before


def test_a_saved_folder_opens_again_and_exports_the_same_edits(make_case, tmp_path):
    case = make_case("llama", torch.bfloat16)
    case.editor.save_pretrained(tmp_path / "saved")
    opened = open_folder(tmp_path / "saved")
    assert (opened.edits, opened.turns, opened.form) == (6, 1, "raw")
    export(opened, "delta", tmp_path / "d")
    model, _ = load(case.base)
    apply_delta(model, tmp_path / "d")
    assert torch.equal(case.logits(model), case.logits())
    with opened.disable_edits():
        assert not torch.equal(case.logits(opened.model), case.logits())


def test_a_folder_that_was_not_edited_is_refused_in_one_sentence(llama):
    with pytest.raises(ModelError, match=r"neither a workspace nor a folder that an edited model"):
        open_folder(llama.base)


def test_a_folder_opened_with_the_wrong_base_is_refused(llama, make_case, tmp_path):
    llama.editor.save_pretrained(tmp_path / "saved")
    other = tmp_path / "other"
    tiny.llama(intermediate_size=96).save_pretrained(other)
    tiny.tokenizer().save_pretrained(other)
    with pytest.raises(ModelError, match=r"was not made from .*other.*--base"):
        open_folder(tmp_path / "saved", base=str(other))
