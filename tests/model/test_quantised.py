"""Frozen weights in 4 and 8 bits, by bitsandbytes on the CPU: what stays whole, what edits, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

import tiny
from ultraedit.cli.app import main
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, ModelError
from ultraedit.export import apply_delta, export
from ultraedit.model import quantised
from ultraedit.model.load import load
from ultraedit.model.quantised import PACKED, keep_gradients, packed_maps, scales
from ultraedit.settings import EditSettings, Loading
from ultraedit.workspace import tensors
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace

SETTINGS = EditSettings(text=tiny.TEXT, form="raw", modules="model.layers.1.mlp.down_proj")
FEW = [Record(*fact) for fact in tiny.FEW]
kinds = pytest.mark.parametrize("kind", ["4bit", "8bit"])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve blocks, so that the name of block 1 is an end of that of block 11."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny.llama(num_hidden_layers=12, tie_word_embeddings=True).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def packed_folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model saved in 4 and in 8 bits, every map of the blocks packed."""
    made = {}
    for kind in ("4bit", "8bit"):
        model, tokenizer = load(base, quantize=kind)
        made[kind] = tmp_path_factory.mktemp("packed") / kind
        model.save_pretrained(made[kind])
        tokenizer.save_pretrained(made[kind])
    return made


def kept(model: PreTrainedModel) -> set[str]:
    """Linear maps that are plain."""
    return {n for n, m in model.named_modules() if type(m) is nn.Linear}


@kinds
def test_the_edited_maps_and_the_head_stay_whole_and_nothing_else_does(
    base: Path, kind: str
) -> None:
    whole, _ = load(base)
    model, _ = load(base, quantize=kind, keep=("model.layers.1.mlp.down_proj",))
    names = kept(model)
    assert names == {"model.layers.1.mlp.down_proj", "lm_head"}
    assert len(list(packed_maps(model))) == 12 * 7 - 1
    for name in names:
        assert model.get_submodule(name).weight.equal(whole.get_submodule(name).weight)
    several, _ = load(base, quantize=kind, keep=("auto", "*.3.mlp.up_proj"))
    assert kept(several) - names == {
        "model.layers.3.mlp.up_proj",
        *(f"model.layers.{i}.mlp.down_proj" for i in (10, 11)),
    }


@kinds
def test_it_edits_and_is_put_back_to_the_bit(base: Path, kind: str) -> None:
    editor = Editor.from_pretrained(base, SETTINGS, quantize=kind)
    (weight,) = editor.weights
    original = weight.parameter.detach().clone()
    prompt = torch.tensor([editor.tokenizer(FEW[0].prompt)["input_ids"]])
    with torch.no_grad():
        before = editor.model(input_ids=prompt).logits
    written = editor.edit_turn(FEW)
    assert sum(r.probability_after for r in written.receipts) > sum(
        r.probability_before for r in written.receipts
    )
    with torch.no_grad():
        assert not editor.model(input_ids=prompt).logits.equal(before)
        with editor.disable_edits():
            assert editor.model(input_ids=prompt).logits.equal(before)
    editor.reset()
    assert weight.parameter.equal(original)


@kinds
def test_a_model_that_comes_packed_gets_its_edited_maps_whole(
    kind: str, packed_folders: dict[str, Path], tmp_path: Path
) -> None:
    plain, _ = load(packed_folders[kind])
    name = "model.layers.1.mlp.down_proj"
    assert type(plain.get_submodule(name)).__name__ in PACKED
    editor = Editor.from_pretrained(packed_folders[kind], SETTINGS)
    assert kept(editor.model) == {name, "lm_head"}
    x = torch.randn(3, 64)
    with torch.no_grad():
        was, now = plain.get_submodule(name)(x), editor.model.get_submodule(name)(x)
    torch.testing.assert_close(now, was, atol=0.02 * float(was.abs().max()), rtol=0)
    edited = editor.edit_turn(FEW)
    assert sum(r.probability_after for r in edited.receipts) > 0
    export(editor, "delta", tmp_path / "d")
    again = Editor.from_pretrained(packed_folders[kind], SETTINGS)
    apply_delta(again.model, tmp_path / "d")
    assert again.weights[0].parameter.equal(editor.weights[0].parameter)


def test_a_live_model_that_ran_before_has_its_gradients_back(tmp_path: Path) -> None:
    """The first run without gradient packs 4-bit weights anew, where the processor has the instructions."""
    tiny.llama(hidden_size=64, intermediate_size=128).save_pretrained(tmp_path)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=config)
    with torch.no_grad():
        model.eval()(input_ids=torch.tensor([[5, 6, 7]]))
    editor = Editor(model, tiny.tokenizer(), SETTINGS)
    assert not any(
        getattr(m.weight.quant_state, "packing_format_for_cpu", False)
        or m.support_avx512bf16_for_cpu
        for _, m in packed_maps(model)
    )
    receipt = editor.edit_turn(FEW).receipts[0]
    assert receipt.probability_after > receipt.probability_before


class _Lossy(torch.autograd.Function):
    """A forward that is right and a backward that is not, as packed weights have had."""

    factor = 0.0

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] * _Lossy.factor


@pytest.mark.parametrize(
    ("factor", "why"),
    [
        (0.0, "it is zero"),
        (float("nan"), "it is not finite"),
        (-1.0, "a small move does -1 times what it says"),
        (5.0, "a small move does 0.2 times what it says"),
        (None, "there is none at all"),
    ],
)
def test_a_gradient_that_is_wrong_is_refused_by_name(
    base: Path, factor: float | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load(base, quantize="4bit", keep=("model.layers.1.mlp.down_proj",))
    block = model.get_submodule("model.layers.6")
    if factor is None:
        block.register_forward_hook(lambda _m, _x, out: out.detach())
    else:
        monkeypatch.setattr(_Lossy, "factor", factor)
        block.register_forward_hook(lambda _m, _x, out: _Lossy.apply(out))
    with pytest.raises(
        ModelError,
        match=rf"'model\.layers\.1\.mlp\.down_proj' has no gradient .* \({why}\), so it cannot",
    ):
        Editor(model, tokenizer, SETTINGS)


@kinds
def test_a_workspace_says_and_remembers_how_its_base_is_loaded(
    base: Path, kind: str, tmp_path: Path
) -> None:
    quiet = WorkspaceSettings(health=HealthConfig(canary_tokens=0))
    with create_workspace(
        tmp_path / "ws", base, SETTINGS, keep=quiet, loading=Loading(quantize=kind)
    ) as workspace:
        workspace.edit_turn(FEW[:2])
        live = tensors.live_digest(workspace.editor.weights)
        logits = workspace.editor.model(input_ids=torch.tensor([[5, 6, 7]])).logits
    described = json.loads((tmp_path / "ws" / "workspace.json").read_text())
    assert described["base"]["quantize"] == kind
    with Workspace.open(tmp_path / "ws", write=True) as again:
        assert kept(again.editor.model) == {"model.layers.1.mlp.down_proj", "lm_head"}
        assert tensors.live_digest(again.editor.weights) == live
        assert again.editor.model(input_ids=torch.tensor([[5, 6, 7]])).logits.equal(logits)
        with pytest.raises(ConfigError, match="would be another model than the one that was"):
            export(again.editor, "merged", tmp_path / "m")
        assert not (tmp_path / "m").exists()
    assert verify(tmp_path / "ws").sound


def test_a_workspace_of_a_whole_base_is_written_as_ever(base: Path, tmp_path: Path) -> None:
    quiet = WorkspaceSettings(health=HealthConfig(canary_tokens=0))
    create_workspace(tmp_path / "ws", base, SETTINGS, keep=quiet).close()
    described = json.loads((tmp_path / "ws" / "workspace.json").read_text())
    assert "quantize" not in described["base"]


def test_a_merged_folder_is_refused_before_anything_is_loaded(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "facts.jsonl"
    facts.write_text('{"prompt": "Who?", "target": "Ann"}\n')
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(["edit", "nowhere", "--file", str(facts), "--out", str(out), "--quantize", "4bit"])
    assert left.value.code == 2
    assert "--quantize 4bit and --out do not go together" in " ".join(
        capsys.readouterr().err.split()
    )
    editor = Editor.from_pretrained(base, SETTINGS, quantize="4bit")
    with pytest.raises(ConfigError, match="would be another model than the one that was edited"):
        editor.save_pretrained(out)
    assert not out.exists()


def test_bad_requests_are_one_sentence(
    base: Path, packed_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match='quantize is 3; use "4bit" or "8bit"'):
        Editor.from_pretrained(base, SETTINGS, quantize=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"comes quantised, so it cannot be quantised again"):
        load(packed_folders["4bit"], quantize="8bit")
    monkeypatch.setattr("ultraedit.extras.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--quantize 4bit needs the package `bitsandbytes`"):
        load(base, quantize="4bit")


def test_what_a_packed_weight_is_multiplied_by_tells_it_apart(base: Path) -> None:
    for kind, least in (("4bit", 2), ("8bit", 1)):
        model, _ = load(base, quantize=kind)
        keep_gradients(model)
        found = [len(scales(m.weight)) for _, m in packed_maps(model)]
        assert set(found) == {least}
    assert scales(nn.Linear(2, 2).weight) == []
    assert quantised.packed(model) and not quantised.packed(nn.Linear(2, 2))
