"""Exports of the real model, reloaded by the libraries that users load them with."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ultraedit.data import read_records
from ultraedit.data.bundled import anchor_text, facts_path
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.export import AdapterSettings, apply_delta, export
from ultraedit.model.generate import answer
from ultraedit.model.load import load
from ultraedit.settings import EditSettings

# 2026-11: peft 0.21 asks transformers 5.23 for an attribute under its old name
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)

EDITS = 20


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(islice(read_records(facts_path()), EDITS))


@pytest.fixture(scope="module")
def editor(records: list[Record]) -> Editor:
    """SmolLM2-135M in the dtype of this machine with 20 bundled facts, in one turn."""
    made = Editor.from_pretrained(
        "smollm2", EditSettings(text=anchor_text()[:6000]), dtype="fastest"
    )
    summary = made.edit_many(records, turn_size=EDITS)
    assert summary.learned >= 0.9 * EDITS
    return made


@pytest.fixture(scope="module")
def live(editor: Editor, records: list[Record]) -> list[str]:
    """The live model's greedy answers."""
    found = _answers(editor, editor.model, records)
    right = sum(r.target in a for r, a in zip(records, found, strict=True))
    assert right >= 0.8 * EDITS  # an unedited model would pass the comparisons below too
    return found


def _answers(editor: Editor, model: torch.nn.Module, records: list[Record]) -> list[str]:
    return answer(model, editor.tokenizer, [r.prompt for r in records], editor.form, 16)  # type: ignore[arg-type]


def test_merged_reloaded_by_transformers_answers_the_same(editor, live, records, tmp_path: Path):
    export(editor, "merged", tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    assert model.dtype == editor.model.dtype
    found = answer(model, tokenizer, [r.prompt for r in records], editor.form, 16)
    assert found == live


def test_delta_applied_to_the_base_is_the_live_model_to_the_bit(
    editor, live, records, tmp_path: Path
):
    done = export(editor, "delta", tmp_path / "d")
    shifts = sum(w.shift.nbytes for w in editor.weights)
    assert (
        shifts < done.bytes < shifts + 20_000
    )  # a card and a description; the checkpoint has 269 MB
    model, _ = load("smollm2", dtype="fastest")
    apply_delta(model, tmp_path / "d")
    for (name, a), b in zip(model.named_parameters(), editor.model.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert _answers(editor, model, records) == live


def test_lora_reloaded_by_peft_answers_the_same(editor, live, records, tmp_path: Path):
    done = export(
        editor, "lora", tmp_path / "a", records=records, adapter=AdapterSettings(rank=256)
    )
    assert done.adapter is not None
    assert min(done.adapter.energy.values()) > 0.999
    base, _ = load("smollm2", dtype="fastest")
    model = PeftModel.from_pretrained(base, tmp_path / "a").eval()
    assert _answers(editor, model.base_model.model, records) == live


def test_the_chosen_rank_is_small_after_few_edits_and_keeps_the_answers(
    editor, records, tmp_path: Path
):
    report = export(editor, "lora", tmp_path / "a", records=records).adapter
    assert report is not None and report.enough
    assert report.rank < 256
    assert report.efficacy.live >= 0.9 * EDITS
