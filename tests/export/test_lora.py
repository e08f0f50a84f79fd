"""lora: PEFT loads it, the rank is the smallest that keeps enough, and what it keeps is measured on the file."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import PreTrainedModel

from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.export import RANKS, AdapterSettings, export, exporting, factors
from ultraedit.export.adapter import attached, read_peft
from ultraedit.export.factors import factorise, useful_ranks
from ultraedit.export.lora import LEAST_ENERGY
from ultraedit.export.measure import ScoredEdits
from ultraedit.model.generate import answer
from ultraedit.model.load import load
from ultraedit.settings import EditSettings

# 2026-11: peft 0.21 asks transformers 5.23 for an attribute under its old name
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


def test_peft_gives_the_merged_models_logits_at_full_energy(case, tmp_path):
    """Of every family, GPT-2's transposed Conv1D and Gemma-3's nesting included; rank 64 holds these shifts whole."""
    done = case.export("lora", tmp_path / "a", rank=64, force=True)
    assert done.adapter is not None
    assert min(done.adapter.energy.values()) == pytest.approx(1, abs=1e-6)
    base, _ = load(case.base)
    before = case.logits(base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "a").eval()
    torch.testing.assert_close(case.logits(adapted), case.logits(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(case.logits(adapted), before, atol=0.1)


def test_merged_by_peft_it_is_the_edited_weight(case, tmp_path):
    case.export("lora", tmp_path / "a", rank=64, force=True)
    base, _ = load(case.base)
    merged = PeftModel.from_pretrained(base, tmp_path / "a").merge_and_unload()
    for w in case.editor.weights:
        torch.testing.assert_close(
            merged.get_parameter(f"{w.name}.weight").data, w.parameter.data, rtol=1e-4, atol=1e-5
        )


def test_the_files_are_what_vllm_asks_for(llama, tmp_path):
    done = llama.export("lora", tmp_path / "a", rank=16, force=True)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    names = [w.name for w in llama.editor.weights]
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (16, 16, {})
    assert config["target_modules"] == names
    tensors = load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert set(tensors) == {
        f"base_model.model.{name}.lora_{x}.weight" for name in names for x in "AB"
    }
    assert {t.shape[0] for n, t in tensors.items() if ".lora_A." in n} == {16}
    assert done.serve == (
        f"vllm serve {llama.base} --enable-lora --lora-modules edited={tmp_path / 'a'} --max-lora-rank 16",
    )


def test_the_rank_is_the_smallest_that_answers_the_same(llama, tmp_path):
    report = export(llama.editor, "lora", tmp_path / "a", records=llama.records).adapter
    assert report is not None and report.enough
    *below, last = report.tried
    assert last == report.rank
    start = RANKS.index((*below, last)[0])
    assert [*below, last] == list(RANKS[start : start + len(report.tried)])
    asked = report.efficacy.asked
    assert asked == len(llama.records)
    assert all(report.tried[r] < asked for r in below)
    assert report.tried[last] == report.efficacy.same == asked
    assert report.efficacy.live >= 2  # an edited model that knows nothing would prove nothing
    shifts = [factorise(w.name, w.shift) for w in llama.editor.weights]
    assert all(min(f.kept(r) for f in shifts) < LEAST_ENERGY for r in RANKS[:start])


def test_same_answers_are_counted_on_what_peft_generates(llama, tmp_path):
    done = llama.export("lora", tmp_path / "a", rank=8, force=True)
    assert done.adapter is not None
    prompts = [r.prompt for r in llama.records]
    live = answer(llama.editor.model, llama.editor.tokenizer, prompts, "raw", 32)
    base, _ = load(llama.base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "a").eval().base_model.model
    assert isinstance(adapted, PreTrainedModel)
    found = answer(adapted, llama.editor.tokenizer, prompts, "raw", 32)
    same = sum(a == b for a, b in zip(found, live, strict=True))
    assert done.adapter.efficacy.same == same < len(prompts)


def test_full_rank_cuts_nothing_off_and_is_served_by_peft_where_vllm_cannot(
    llama, tmp_path, monkeypatch
):
    monkeypatch.setattr(factors, "RANKS", (1, 8))  # these shifts have a higher rank
    monkeypatch.setattr(exporting, "RANKS", (1, 8))
    done = llama.export("lora", tmp_path / "a", rank="full")
    assert done.adapter is not None
    own = [factorise(w.name, w.shift).rank for w in llama.editor.weights]
    assert done.adapter.rank == max(own) > 8
    assert done.adapter.energy == pytest.approx(dict.fromkeys(done.adapter.energy, 1.0), abs=1e-6)
    assert done.adapter.efficacy.same == done.adapter.efficacy.asked == len(llama.records)
    assert len(done.serve) == 1 and "PeftModel.from_pretrained" in done.serve[0]


def test_full_rank_is_an_accepted_one_where_there_is_one_so_high(llama, tmp_path):
    report = llama.export("lora", tmp_path / "a", rank="full").adapter
    assert report is not None
    own = max(factorise(w.name, w.shift).rank for w in llama.editor.weights)
    assert report.rank == min(r for r in RANKS if r >= own)


def test_the_figures_are_those_of_the_file(llama, tmp_path):
    report = llama.export("lora", tmp_path / "a", rank=8, force=True).adapter
    assert report is not None
    base, _ = load(llama.base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "a").eval()
    with torch.no_grad():
        hits = []
        for r in llama.records:
            prompt = llama.editor.tokenizer(r.prompt)["input_ids"]
            target = llama.editor.tokenizer(" " + r.target, add_special_tokens=False)["input_ids"]
            logits = adapted(input_ids=torch.tensor([prompt + target]), use_cache=False).logits[0]
            hits.append(logits[len(prompt) - 1 : -1].argmax(-1).tolist() == target)
    assert report.efficacy.exported == sum(hits)
    assert report.efficacy.scored == len(llama.records)


def test_too_little_kept_is_refused_unless_forced(llama, tmp_path):
    with pytest.raises(ConfigError, match=r"at rank 1 the adapter keeps .* give a higher --rank"):
        llama.export("lora", tmp_path / "a", rank=1, keep=1.0)
    assert list(tmp_path.iterdir()) == []
    done = llama.export("lora", tmp_path / "a", rank=1, keep=1.0, force=True)
    assert done.adapter is not None and not done.adapter.enough
    assert (tmp_path / "a" / "adapter_model.safetensors").exists()


def test_half_precision_bases_get_half_precision_adapters(make_case, tmp_path):
    case = make_case("llama", torch.bfloat16)
    case.export("lora", tmp_path / "a", rank=64, force=True)
    assert {t.dtype for t in load_file(tmp_path / "a" / "adapter_model.safetensors").values()} == {
        torch.bfloat16
    }
    base, _ = load(case.base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "a").eval()
    ours = read_peft(tmp_path / "a")
    with case.editor.disable_edits(), attached(case.editor.model, ours):
        torch.testing.assert_close(case.logits(), case.logits(adapted), rtol=0.02, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"adapter": AdapterSettings(rank=7)},
            "rank 7 is not one that servers accept; use one of 1, 8, 16",
        ),
        ({"adapter": AdapterSettings(keep=1.5)}, "keep is 1.5"),
        ({"records": []}, "no edits to measure it on; name them with --edits FILE"),
    ],
)
def test_settings_that_make_no_sense_are_refused(llama, tmp_path, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        export(llama.editor, "lora", tmp_path / "a", **({"records": llama.records} | settings))
    assert list(tmp_path.iterdir()) == []


def test_an_edited_model_that_knows_none_of_the_edits_is_refused(llama, tmp_path):
    from ultraedit.data.record import Record

    unknown = [Record("The colour of the mill is", "nobody knows")]
    with pytest.raises(ConfigError, match=r"answers none of its 1 edits right"):
        export(llama.editor, "lora", tmp_path / "a", records=unknown)


def test_measuring_leaves_the_live_model_as_it_was(llama, tmp_path):
    before = llama.logits()
    llama.export("lora", tmp_path / "a", rank=8, force=True)
    assert torch.equal(llama.logits(), before)
    assert not any(m._forward_hooks for m in llama.editor.model.modules())


def test_only_the_last_of_several_edits_of_one_prompt_is_scored(llama):
    from ultraedit.data.record import Record

    twice = [Record(llama.records[0].prompt, "something else"), *llama.records]
    probe, plain = ScoredEdits(llama.editor, twice), ScoredEdits(llama.editor, llama.records)
    assert probe._pairs == plain._pairs and probe.live == plain.live


def test_a_shift_is_held_whole_at_its_own_rank_and_no_lower():
    torch.manual_seed(0)
    shift = torch.randn(24, 8) @ torch.randn(8, 40)
    f = factorise("m", shift)
    assert f.kept(8) == pytest.approx(1, abs=1e-6)
    assert f.kept(1) == pytest.approx(
        float(torch.linalg.matrix_norm(shift, 2) ** 2 / torch.linalg.matrix_norm(shift) ** 2),
        rel=1e-5,
    )
    for rank in (8, 64):  # beyond the shift's own 24, filled with zeros
        A, B = f.at(rank, torch.float32)
        assert (A.shape, B.shape) == ((rank, 40), (24, rank))
        torch.testing.assert_close(B @ A, shift, rtol=1e-4, atol=1e-4)


def test_truncation_is_the_best_there_is():
    """Eckart-Young: the error of rank r is the tail of the spectrum."""
    torch.manual_seed(1)
    shift = torch.randn(20, 30)
    f = factorise("m", shift)
    A, B = f.at(8, torch.float32)
    tail = torch.linalg.svdvals(shift)[8:].square().sum().sqrt()
    torch.testing.assert_close((shift - B @ A).norm(), tail, rtol=1e-4, atol=1e-4)


def test_a_module_that_was_not_moved_is_kept_whole():
    assert factorise("m", torch.zeros(4, 6)).kept(1) == 1


def test_ranks_are_tried_up_to_the_first_that_holds_everything():
    assert useful_ranks([factorise("m", torch.randn(24, 40))]) == (1, 8, 16, 32)
    assert useful_ranks([factorise("m", torch.randn(8, 40))]) == (1, 8)


def test_nothing_edited_is_refused(tmp_path):
    import tiny

    editor = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(preset="paper"))
    with pytest.raises(ConfigError, match="nothing has been edited"):
        export(editor, "lora", tmp_path / "a", records=[])
