"""The plan runs the real editing code over fake tensors; live bytes are counted to the byte."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from typer.testing import CliRunner

import tiny
from ultraedit.cli.app import app
from ultraedit.errors import ConfigError, ModelError
from ultraedit.methods.presets import method
from ultraedit.planning.budget import parse_bytes
from ultraedit.planning.configs import bundled_names, read_config
from ultraedit.planning.memory_tracker import MemoryTracker
from ultraedit.planning.plan import PARTS, Plan, Workload, plan

planning = importlib.import_module("ultraedit.planning.plan")


def config() -> PreTrainedConfig:
    return tiny.llama().config


@cache
def made(**changes) -> Plan:
    settings = {
        "dtype": torch.float32,
        "turn_size": 8,
        "micro_batch": 4,
        "text_tokens": 128,
    } | changes
    return plan("tiny", config(), method("default"), Workload(**settings))


def test_live_bytes_follow_storages_and_not_views() -> None:
    memory = MemoryTracker()
    with memory:
        with memory.part("a"):
            a = torch.empty(1000)
        view = a[10:].view(-1, 10)
        with memory.part("b"):
            b = torch.empty(500, dtype=torch.float64)
            del b
            kept = torch.empty(10)
    assert memory.live["a"] == 4000
    assert memory.live["b"] == 40
    assert memory.peak == 8000
    assert memory.at_peak == {"a": 4000, "b": 4000}
    memory.assign("c", view)
    assert (memory.live["a"], memory.live["c"]) == (0, 4000)
    del a, view, kept
    assert memory.live["c"] == 0


def test_weights_and_masters_are_exact() -> None:
    model = tiny.llama()
    found = made()
    assert found.parts["weights"] >= 4 * sum(p.numel() for p in model.parameters())
    assert found.parts["masters"] == 8 * found.edited_parameters  # original and shift, both fp32
    assert sum(found.parts.values()) == found.peak
    assert tuple(found.parts) == PARTS


def test_more_work_takes_more_memory() -> None:
    base = made(turn_size=8, tokens_per_edit=100)
    assert base.moment == "turn"
    assert made(turn_size=8, tokens_per_edit=100, micro_batch=8).peak > base.peak
    more = made(turn_size=16, tokens_per_edit=100)
    assert more.parts["trunk cache"] > base.parts["trunk cache"]
    half = made(turn_size=8, tokens_per_edit=100, dtype=torch.bfloat16)
    assert half.parts["weights"] < 0.6 * base.parts["weights"]


def test_prompt_tokens_take_more_memory() -> None:
    settings = {"dtype": torch.float32, "turn_size": 8, "micro_batch": 4, "text_tokens": 128}
    wide = plan("tiny", config(), method("thorough"), Workload(**settings))
    assert wide.parts["solve"] > made().parts["solve"]
    assert wide.peak > made().peak


def test_four_bits_shrink_the_frozen_linear_weights_only() -> None:
    base, small = made(), made(quantize="4bit")
    assert small.parameters == base.parameters
    assert small.parts["masters"] == base.parts["masters"]
    model = tiny.llama()
    linear = sum(
        m.weight.numel() for m in model.get_decoder().modules() if isinstance(m, torch.nn.Linear)
    )
    frozen = linear - small.edited_parameters
    saved = base.parts["weights"] - small.parts["weights"]
    assert saved == pytest.approx(frozen * (4 - 0.5 - 1 / 64), rel=0.02)


def test_eight_bits_are_a_byte_a_weight_and_four_a_row() -> None:
    base, small = made(), made(quantize="8bit")
    linear = [m for m in tiny.llama().get_decoder().modules() if isinstance(m, torch.nn.Linear)]
    edited = [m for m in linear if m.weight.numel() == small.edited_parameters][:1]
    frozen = sum(m.weight.numel() for m in linear) - small.edited_parameters
    rows = sum(m.out_features for m in linear) - edited[0].out_features
    saved = base.parts["weights"] - small.parts["weights"]
    assert saved == pytest.approx(frozen * 3 - 4 * rows, rel=0.05)


def test_experts_are_counted_whole_and_stay_whole_in_four_bits() -> None:
    settings = {"dtype": torch.float32, "turn_size": 8, "micro_batch": 4, "text_tokens": 128}
    moe = tiny.family("qwen3_moe").config
    whole, small = (
        plan("tiny", moe, method("default"), Workload(**settings, quantize=bits))
        for bits in (None, "4bit")
    )
    assert whole.modules == ("model.layers.2.mlp.experts",)
    joint = 5 * 24
    assert whole.edited_parameters == joint * 32
    # the original and the fp32 shift, a new shift at the turn's end
    assert whole.parts["masters"] >= 2 * 4 * joint * 32
    experts = 4 * 5 * 3 * 24 * 32
    assert small.parts["weights"] > 4 * experts
    assert 0 < small.parts["weights"] < whole.parts["weights"]
    more = plan("tiny", moe, method("default"), Workload(**settings | {"turn_size": 16}))
    keys = 8 * 3 * joint * 4  # of eight more edits of three tokens each
    assert more.peak - whole.peak >= keys or more.moment != "turn"


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GB", 16 * 10**9), ("8 GiB", 8 * 2**30), ("500mb", 5 * 10**8), ("1.5GB", 15 * 10**8)],
)
def test_budgets_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["much", "16 parsecs", "-1GB", ""])
def test_a_bad_budget_is_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match=f'"{text}"'):
        parse_bytes(text)


def test_bundled_configs_have_the_published_sizes() -> None:
    assert bundled_names() == [
        "gemma-3-27b",
        "gpt-j-6b",
        "llama-3-8b",
        "mistral-7b",
        "phi-4",
        "qwen2.5-7b",
    ]
    mistral = read_config("mistral-7b")
    assert (mistral.hidden_size, mistral.intermediate_size) == (4096, 14336)


def test_an_unknown_model_is_quoted(tmp_path) -> None:
    with pytest.raises(ModelError, match="mistral-7b"):
        read_config(str(tmp_path / "nothing"))


def test_a_workload_without_room_for_the_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="tokens per edit is 3"):
        made(tokens_per_edit=3)


def test_the_verb_prints_parts_and_says_whether_it_fits(tmp_path) -> None:
    config().save_pretrained(tmp_path)
    arguments = ["plan", str(tmp_path), "--turn-size", "4", "--dtype", "float32"]
    enough = CliRunner().invoke(app, [*arguments, "--budget", "1GB", "--json"])
    assert enough.exit_code == 0, enough.output
    data = json.loads(enough.output)
    assert data["fits"] is True
    assert sum(data["parts"].values()) == data["peak"]
    tight = CliRunner().invoke(app, [*arguments, "--budget", "1MB"])
    assert tight.exit_code == 1
    assert "DOES NOT FIT 0.00 GB" in tight.output
    for part in PARTS:
        assert part in tight.output


@pytest.mark.parametrize("bits", [None, "4bit"])
def test_passing_over_alike_blocks_changes_no_byte(monkeypatch, bits) -> None:
    last = config().num_hidden_layers - 1
    assert last > 1  # block 0 is run and block 1 is passed over
    work = Workload(torch.float32, turn_size=8, micro_batch=4, text_tokens=128, quantize=bits)
    names = [f"model.layers.{last}.mlp.down_proj"]
    quick = plan("tiny", config(), method("default"), work, names)
    monkeypatch.setattr(planning, "_pass_over_alike", lambda *_: None)
    assert plan("tiny", config(), method("default"), work, names) == quick


def test_more_text_and_a_third_step_take_no_more_memory(monkeypatch) -> None:
    base = made(text_tokens=2048)
    longer = made(text_tokens=4096)
    assert longer == replace(base, workload=longer.workload)
    monkeypatch.setattr(planning, "STEPS", 6)  # as many as the method has
    assert made.__wrapped__(text_tokens=2048) == base


def test_a_model_with_a_vision_tower_is_planned() -> None:
    """Its weights are drawn again and again until they lie within bounds, which fake ones never do."""
    from transformers import Gemma3Config

    text = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "vocab_size": 128,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    work = Workload(torch.float32, turn_size=4, micro_batch=4, text_tokens=128)
    config = Gemma3Config(text_config=text, vision_config=vision)
    found = plan("tiny", config, method("default"), work)
    real = AutoModelForCausalLM.from_config(config)
    assert found.parameters == sum(p.numel() for p in real.parameters())  # the tied head once


def test_a_config_whose_numbers_do_not_fit_is_a_sentence(tmp_path) -> None:
    """80 configs with one field changed: planned, or refused in one sentence."""
    tiny.llama().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    whole = json.loads(file.read_text())
    refused = 0
    for key in ("hidden_size", "head_dim", "num_key_value_heads", "hidden_act", "vocab_size"):
        for value in (None, -1, 0, "x", [], {}, 1.5, 7):
            file.write_text(json.dumps(whole | {key: value}))
            try:
                config = read_config(str(tmp_path))
                plan("m", config, method("default"), Workload(torch.float32, turn_size=2))
            except ModelError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 20
