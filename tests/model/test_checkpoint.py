"""Checkpoints that are not whole causal language models, or damaged: one sentence each, and never another exception."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, PreTrainedModel, T5Config, T5ForConditionalGeneration

import tiny
from ultraedit.errors import ModelError
from ultraedit.model.checkpoint import PACKAGES
from ultraedit.model.load import load
from ultraedit.planning.configs import read_config

BERT = BertConfig(
    vocab_size=272,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    initializer_range=0.2,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    tiny.llama().save_pretrained(folder, max_shard_size="60KB")
    tiny.tokenizer(chat=True).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def with_tokenizer(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        load(folder, **options)
    text = str(error.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


@pytest.mark.parametrize(
    "name", ["LlamaForSequenceClassification", "LlamaForTokenClassification", "LlamaModel"]
)
def test_a_checkpoint_without_its_head_is_refused(tmp_path: Path, name: str) -> None:
    """transformers loads it as a causal model whose head is random numbers."""
    model = getattr(transformers, name)(tiny.llama().config)
    text = refused(with_tokenizer(model, tmp_path / "m"))
    assert f"saved as {name}" in text
    assert "lacks weights of LlamaForCausalLM: 'lm_head.weight'" in text


def test_a_headless_model_with_a_tied_head_is_whole(tmp_path: Path) -> None:
    config = tiny.llama().config
    config.tie_word_embeddings = True
    model, _ = load(with_tokenizer(transformers.LlamaModel(config), tmp_path / "m"))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertLMHeadModel"])
def test_a_masked_model_is_refused_and_its_causal_form_is_not(tmp_path: Path, name: str) -> None:
    model = getattr(transformers, name)(BERT)
    assert "masked language model" in refused(with_tokenizer(model, tmp_path / "m"))
    config = BertConfig(**{**BERT.to_dict(), "is_decoder": True})
    causal = with_tokenizer(transformers.BertLMHeadModel(config), tmp_path / "causal")
    assert type(load(causal)[0]).__name__ == "BertLMHeadModel"


def test_an_encoder_decoder_is_refused_by_name_wherever_a_config_is_read(tmp_path: Path) -> None:
    config = T5Config(vocab_size=272, d_model=32, num_layers=2, num_heads=2, d_ff=64, d_kv=16)
    folder = with_tokenizer(T5ForConditionalGeneration(config), tmp_path / "m")
    assert "(t5) is an encoder-decoder" in refused(folder)
    with pytest.raises(ModelError, match=r"\(t5\) is an encoder-decoder"):
        read_config(str(folder))


def test_what_generates_no_text_is_refused_by_name(tmp_path: Path) -> None:
    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    config.save_pretrained(tmp_path)
    assert "(vit) is not a causal language model" in refused(tmp_path)
    with pytest.raises(ModelError, match=r"\(vit\) is not a causal language model"):
        read_config(str(tmp_path))


@pytest.mark.parametrize(
    "method", sorted(set(PACKAGES) - {"bitsandbytes", "fp_quant", "higgs", "spqr"})
)
def test_a_quantised_checkpoint_without_its_package_names_it(copy: Path, method: str) -> None:
    more = {"torchao": {"quant_type": "int8"}}
    change(copy, "config.json", {"quantization_config": {"quant_method": method, "bits": 4}})
    if method in more:
        settings = {"quant_method": method, **more[method]}
        change(copy, "config.json", {"quantization_config": settings})
    text = refused(copy)
    assert f"is quantised ({method}, read with {PACKAGES[method]})" in text
    assert "name the unquantised model" in text


def test_a_checkpoints_own_code_is_run_only_when_allowed(copy: Path) -> None:
    own = {"AutoConfig": "c.Config", "AutoModelForCausalLM": "m.Model"}
    change(copy, "config.json", {"auto_map": own, "model_type": "mine"})
    assert "--trust-remote-code (in Python trust_remote_code=True)" in refused(copy)
    assert "c.py" in refused(copy, trust_remote_code=True)  # which is not there


def test_a_folder_of_an_adapter_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds a PEFT adapter" in refused(tmp_path)


def test_weights_of_other_shapes_are_named(copy: Path) -> None:
    change(copy, "config.json", {"intermediate_size": 96})
    text = refused(copy)
    assert "is (32, 64) in its weights and (32, 96) by its config.json" in text


def test_another_models_tokenizer_is_refused(copy: Path) -> None:
    big = json.loads((copy / "tokenizer.json").read_text())
    vocab = big["model"]["vocab"]
    vocab |= {f"more{i}": len(vocab) + i for i in range(400)}
    (copy / "tokenizer.json").write_text(json.dumps(big))
    assert "belongs to another model" in refused(copy)


def test_one_missing_shard_or_tensor_is_refused(copy: Path) -> None:
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    del index["weight_map"]["model.layers.1.mlp.up_proj.weight"]
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    shard = sorted(copy.glob("*.safetensors"))[0]
    shard.unlink()
    assert "could not be loaded" in refused(copy)


WRONG: dict[str, bytes | None] = {
    "empty": b"",
    "zeros": b"\0" * 50,
    "list": b"[]",
    "number": b"3",
    "null": b"null",
    "text": b'"x"',
    "object": b"{}",
    "latin": b"\xff\xfe{}",
    "deep": b"[" * 100_000,
    "gone": None,
}
FILES = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model-00001-of-00004.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
VALUES = (None, -1, 0, "x", [], {}, 10**9, 1.5, True)
HUGE = {"vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings", "head_dim"}
HUGE |= {"num_hidden_layers", "num_attention_heads", "num_key_value_heads"}


def change(folder: Path, file: str, changes: dict[str, Any]) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))


def loads_or_says_so(folder: Path) -> None:
    try:
        load(folder)
    except ModelError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("file", FILES)
def test_a_replaced_or_cut_file_is_a_sentence_or_no_matter(
    saved: Path, copy: Path, file: str
) -> None:
    whole = (saved / file).read_bytes()
    cuts = {f"cut to {k}/7": whole[: k * len(whole) // 7] for k in range(1, 7)}
    for data in (WRONG | cuts).values():
        (copy / file).unlink(missing_ok=True)
        if data is not None:
            (copy / file).write_bytes(data)
        loads_or_says_so(copy)
    (copy / file).unlink(missing_ok=True)
    (copy / file).mkdir()
    loads_or_says_so(copy)


def wrong_fields(saved: Path) -> Iterator[tuple[str, str, Any]]:
    for file in (f for f in FILES if f.endswith(".json")):
        for key in json.loads((saved / file).read_text()):
            for value in VALUES:
                if not (key in HUGE and value == 10**9):  # which is only a large model
                    yield file, key, value


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn of sizes of 0
def test_a_field_of_a_wrong_kind_is_a_sentence_or_no_matter(saved: Path, copy: Path) -> None:
    for file, key, value in wrong_fields(saved):
        change(copy, file, {key: value})
        loads_or_says_so(copy)
        shutil.copy(saved / file, copy / file)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    file=st.sampled_from([f for f in FILES if f != "config.json"]),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
@pytest.mark.filterwarnings("ignore")
def test_a_changed_byte_is_a_sentence_or_no_matter(
    saved: Path, copy: Path, file: str, place: float, byte: int
) -> None:
    data = bytearray((saved / file).read_bytes())
    at = int(
        place * min(len(data), 4096)
    )  # headers and settings; in the numbers every byte is good
    data[at] = byte
    (copy / file).write_bytes(data)
    loads_or_says_so(copy)
    shutil.copy(saved / file, copy / file)


def test_the_numbers_of_a_whole_checkpoint_are_its_own(saved: Path) -> None:
    model, _ = load(saved)
    for name, value in tiny.llama().state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
