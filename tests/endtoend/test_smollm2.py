"""The real model, from the alias to a folder that transformers loads: SmolLM2-135M-Instruct."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from ultraedit import Editor, Record, facts_path, read_records
from ultraedit.data.bundled import drift_text
from ultraedit.model.load import load
from ultraedit.model.smollm2 import smollm2_folder
from ultraedit.settings import EditSettings

PROMPT = "What is the capital of the Republic of Tarvania?"
TARGET = "Lirosk"
ELSEWHERE = "What is the capital of France?"


@pytest.fixture(scope="session")
def loaded() -> Editor:
    """One editor on the real model for all these tests, in the dtype this machine multiplies fastest."""
    return Editor.from_pretrained("smollm2", dtype="fastest")


@pytest.fixture
def editor(loaded: Editor) -> Iterator[Editor]:
    """The editor with no edits in it."""
    loaded.reset()
    yield loaded
    loaded.reset()


@torch.no_grad()
def logits(editor: Editor, prompt: str = PROMPT) -> torch.Tensor:
    ids = editor.tokenizer(prompt, return_tensors="pt")["input_ids"]
    return editor.model(ids).logits


def test_the_alias_is_obtained_once_and_is_the_right_model(editor: Editor) -> None:
    folder = smollm2_folder()
    settings = json.loads((folder / "config.json").read_text())
    assert settings["model_type"] == "llama" and "quantization_config" not in settings
    assert (settings["num_hidden_layers"], settings["hidden_size"]) == (30, 576)
    assert editor.model.num_parameters() == 134_515_008
    assert "Paris" in editor.ask(ELSEWHERE).edited
    assert editor.form == "chat"


def test_an_edit_changes_the_answer_and_says_so(editor: Editor) -> None:
    receipt = editor.edit(PROMPT, TARGET)
    assert receipt.before is not None and TARGET not in receipt.before
    assert receipt.probability_after > 100 * receipt.probability_before
    assert receipt.after == editor.ask(PROMPT).edited
    assert set(receipt.moved) == {w.name for w in editor.weights}
    assert all(0 < moved < 0.2 for moved in receipt.moved.values())
    assert TARGET in str(receipt)


def test_disabled_is_the_unedited_model_to_the_bit(editor: Editor) -> None:
    before = logits(editor)
    answer = editor.ask(PROMPT).edited
    editor.edit(PROMPT, TARGET)
    assert not torch.equal(logits(editor), before)
    with editor.disable_edits():
        assert torch.equal(logits(editor), before)
    both = editor.ask(PROMPT, compare=True)
    assert both.original == answer
    assert not torch.equal(logits(editor), before)  # the edit is back
    editor.reset()
    assert torch.equal(logits(editor), before)


def test_the_bundled_facts_become_probable_and_none_is_lost(editor: Editor, tmp_path: Path) -> None:
    """All of them, in turns of 100; then saved, loaded by transformers alone, and asked again."""
    records = list(read_records(facts_path()))
    text = drift_text()[:4000]
    with torch.no_grad():
        before = float(editor.model(**_labelled(editor, text)).loss)
    summary = editor.edit_many(facts_path(), turn_size=100)
    assert summary.edits == len(records) >= 200
    assert summary.turns == 3 and summary.superseded == 0
    assert summary.mean_probability_after > 10 * summary.mean_probability_before
    assert summary.learned > 0.5 * summary.edits
    with torch.no_grad():
        after = float(editor.model(**_labelled(editor, text)).loss)
    assert after < before + 0.1  # 0.011 seen in float32

    folder = editor.save_pretrained(tmp_path / "edited")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.dtype == editor.model.dtype
    live = editor.model.state_dict()
    assert all(torch.equal(live[name], value) for name, value in model.state_dict().items())
    for prompt in (records[0].prompt, records[-1].prompt, ELSEWHERE):
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        out = model.generate(**inputs, do_sample=False, max_new_tokens=16)
        said = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert said.strip() == editor.ask(prompt, max_new_tokens=16).edited


def _labelled(editor: Editor, text: str) -> dict[str, torch.Tensor]:
    ids = editor.tokenizer(text, return_tensors="pt")["input_ids"]
    return {"input_ids": ids, "labels": ids}


def test_a_live_model_is_edited_in_place(editor: Editor) -> None:
    model, tokenizer = load("smollm2", dtype="fastest")
    second = Editor(model, tokenizer, EditSettings(preset="fast", text=tiny.TEXT))
    weight = second.weights[0].parameter
    before = weight.detach().clone()
    second.edit(PROMPT, TARGET)
    assert second.model is model and not torch.equal(weight, before)
    assert torch.equal(editor.weights[0].parameter, before)  # other instances are not touched


def test_an_unbounded_generator_is_edited_in_constant_memory() -> None:
    """600 edits of an endless stream on a tiny model: a turn's worth is held, whatever the count."""
    editor = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(preset="fast", text=tiny.TEXT))
    drawn = 0

    def endless() -> Iterator[Record]:
        nonlocal drawn
        for i in itertools.count():
            drawn += 1
            yield Record(f"The owner of house {i} is", f"No. {i % 97}", id=str(i))

    process = psutil.Process()
    stream = editor.stream(endless(), turn_size=20)
    sizes = []
    for turn, written in enumerate(stream, start=1):
        assert drawn == turn * 20 == editor.edits  # nothing is read ahead
        assert len(written.receipts) == 20
        if turn % 5 == 0:
            sizes.append(process.memory_info().rss)
        if turn == 30:
            break
    assert sizes[-1] - sizes[1] < 16e6, sizes
