"""Wrapped models: what is saved loads alone and answers as the live model did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from ultraedit.editing.plain import plain_model, plain_name, write_plain
from ultraedit.errors import ConfigError
from wrapped import IDS, WRAPPED, adapted, lora

# PEFT's own
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*a tied layer is part of the adapter:UserWarning"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "wrapped", tmp_path_factory.mktemp("wrapped")],
        cwd=tests,
        env=os.environ
        | {"TORCHDYNAMO_DISABLE": "1"},  # wrapped all the same, and nothing is compiled
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", WRAPPED)
def test_the_saved_folder_answers_as_the_wrapped_model(found: dict[str, Any], kind: str) -> None:
    got = found[kind]
    assert got["moved by the edit"] > 0.01
    assert got["reloaded"] < 1e-4
    assert got["live model unchanged"]
    assert got["keys"] == []
    assert got["adapter_merged"] == (kind != "compiled")


def test_the_edits_of_a_compiled_model_are_exported_live_and_saved(found: dict[str, Any]) -> None:
    assert found["exported"]["live"]
    assert found["exported"]["saved"]


def test_edits_beside_an_adapter_are_not_exported_without_it(found: dict[str, Any]) -> None:
    """The base and the edits alone would be another model."""
    got = found["exported"]
    for kind in ("delta", "lora"):
        assert "carries a PEFT adapter" in got[kind]
        assert "Editor(model.merge_and_unload(), tokenizer)" in got[kind]
    assert "holds a PEFT adapter merged in" in got["merged"]


def test_an_adapter_that_is_switched_off_is_not_merged(tmp_path: Path) -> None:
    model = adapted(lora("q_proj"))
    model.base_model.disable_adapter_layers()
    with torch.no_grad():
        live = model(input_ids=IDS).logits
        write_plain(model, tmp_path)
        assert AutoModelForCausalLM.from_pretrained(tmp_path)(input_ids=IDS).logits.equal(live)


def test_weights_that_the_adapter_leaves_alone_are_not_copied() -> None:
    model = adapted(lora("q_proj"))
    down = model.get_parameter("base_model.model.model.layers.0.mlp.down_proj.weight")
    assert plain_model(model).get_parameter("model.layers.0.mlp.down_proj.weight") is down


def test_blocks_that_were_compiled_one_by_one_keep_their_names(tmp_path: Path) -> None:
    model = tiny.llama()
    model.model.layers[1] = torch.compile(model.model.layers[1], backend="eager")
    write_plain(model, tmp_path)
    again, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    with torch.no_grad():
        assert again(input_ids=IDS).logits.equal(tiny.llama()(input_ids=IDS).logits)


def test_an_adapter_without_a_merged_form_is_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    prompts = peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    with pytest.raises(ConfigError, match="cannot be merged into the weights"):
        write_plain(peft.get_peft_model(tiny.llama(), prompts), tmp_path)
    with pytest.raises(ConfigError, match="two maps share"):
        write_plain(adapted(lora("embed_tokens"), tie_word_embeddings=True), tmp_path)
    attached = tiny.llama()
    attached.add_adapter(lora("q_proj"))
    with pytest.raises(ConfigError, match=r"load_adapter attached.*merge_and_unload"):
        write_plain(attached, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_of_wrappers_are_left_out() -> None:
    name = "model.layers.1.mlp.down_proj"
    for wrapped in (
        name,
        f"_orig_mod.{name}",
        f"base_model.model.{name}.base_layer",
        f"_orig_mod.base_model.model.{name}",
        "model.layers.1._orig_mod.mlp.down_proj",
    ):
        assert plain_name(wrapped) == name
