"""The default method against its slow reference, over several turns and steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedTokenizerBase

import tiny
from slow import SlowEditor
from ultraedit.core.whitening import Whitening
from ultraedit.data.record import Record
from ultraedit.editing.assemble import assemble, encode_record
from ultraedit.editing.editor import Editor
from ultraedit.methods import closed_form as turn
from ultraedit.methods.ultraedit import UltraEdit
from ultraedit.model.find import find_structure
from ultraedit.model.trace import Trace
from ultraedit.settings import EditSettings

FORMS = {
    "plain": (0.0, False, 0, 0.0, False),
    "text": (30.0, False, 0, 0.0, False),
    "history": (0.0, True, 0, 0.0, False),
    "both": (30.0, True, 0, 0.0, False),
    "fading": (30.0, True, 0, 20.0, False),
    "whitened": (30.0, True, 0, 0.0, True),
    "prompts": (30.0, True, 2, 60.0, False),
    "whitened prompts": (30.0, True, 2, 0.0, True),
}
"""(text_weight, history, prompt_tokens, horizon, whiten)"""


@pytest.mark.parametrize(
    ("family", "form"),
    [("llama", form) for form in FORMS]
    + [(family, "both") for family in ("phi4", "gemma2", "gemma3", "gpt2", "neox", "opt")]
    + [(family, "whitened") for family in ("phi4", "gemma2", "gemma3", "gpt2", "neox", "opt")]
    + [(family, "prompts") for family in ("gemma3", "gpt2", "opt")],
)
def test_default_equals_the_slow_reference(
    family: str, form: str, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    """Three turns of five steps on three maps of two shapes; micro-batches of 3, so padding differs too."""
    text_weight, history, prompt_tokens, horizon, whiten = FORMS[form]
    model, other = tiny.family(family), tiny.family(family)
    names = [
        p.name
        for p in find_structure(model).projections
        if (p.block, p.role) in ((1, "down"), (2, "up"), (2, "down"))
    ]
    settings = {
        "step": 0.05,
        "steps": 5,
        "ridge": 2.0,
        "text_weight": text_weight,
        "history": history,
        "prompt_tokens": prompt_tokens,
        "horizon": horizon,
        "whiten": whiten,
    }
    editor = Editor(
        model,
        byte_tokenizer,
        EditSettings(
            preset=UltraEdit("tested", **settings), modules=names, micro_batch=3, text=tiny.TEXT
        ),
    )
    slow = SlowEditor(other, byte_tokenizer, names, text=tiny.TEXT, **settings)
    for facts in (tiny.FACTS[:7], tiny.FACTS[7:8], tiny.FACTS[5:]):
        receipts = editor.edit_turn([Record(*fact) for fact in facts]).receipts
        before, after = slow.turn(facts, fresh_tokens(editor, facts))
        for weight in editor.weights:
            expected = slow.modules[weight.name].weight
            torch.testing.assert_close(weight.parameter.data, expected.data, atol=5e-5, rtol=0)
        assert [r.probability_before for r in receipts] == pytest.approx(before, rel=1e-2)
        assert [r.probability_after for r in receipts] == pytest.approx(after, rel=1e-2)
    assert min(float(w.shift.abs().max()) for w in editor.weights) > 1e-3
    for weight, moments in zip(editor.weights, editor.statistics.moments, strict=True):
        history = torch.cat(slow.history[weight.name])
        assert moments.count == history.shape[0]
        if isinstance(moments, Whitening):
            energy, outer = moments.energy / moments.count, moments.rows.T @ moments.rows
            torch.testing.assert_close(energy, history.square().sum(1).mean(), atol=0, rtol=1e-3)
            close = 1e-3 * float(outer.trace())
            torch.testing.assert_close(outer.double(), history.T @ history, atol=close, rtol=0)
        else:
            scale = history.square().mean(0)
            torch.testing.assert_close(moments.mean_square(), scale, atol=0, rtol=1e-3)


@pytest.mark.parametrize("prompt_tokens", [0, 3])
def test_what_is_learned_is_left_out_as_in_the_slow_reference(
    prompt_tokens: int, byte_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps so large that answers are learned within the turn, some sooner than others, at last all."""
    in_play: list[int] = []
    plain = turn._LiveTurn._trace

    def counted(self: turn._LiveTurn, index: int) -> Trace:
        in_play.append(len(self.cache.batches[index].lengths))
        return plain(self, index)

    monkeypatch.setattr(turn._LiveTurn, "_trace", counted)
    names = ["model.layers.1.mlp.down_proj", "model.layers.2.mlp.down_proj"]
    settings = {"step": 0.2, "steps": 10, "ridge": 1.0, "text_weight": 0.0, "history": True}
    settings["prompt_tokens"] = prompt_tokens
    editor = Editor(
        tiny.llama(initializer_range=0.3),
        byte_tokenizer,
        EditSettings(preset=UltraEdit("tested", **settings), modules=names, text=tiny.TEXT),
    )
    monkeypatch.setattr(turn, "LEARNED", 0.05)
    slow = SlowEditor(
        tiny.llama(initializer_range=0.3), byte_tokenizer, names, text=tiny.TEXT, **settings
    )
    slow.enough = 0.05
    facts = [("The capital of Vell is", "O"), *tiny.FACTS[1:3], ("Ula plays the", "vi")]
    editor.edit_turn([Record(*fact) for fact in facts])
    slow.turn(facts, fresh_tokens(editor, facts))
    assert in_play == sorted(in_play, reverse=True)
    assert in_play[0] == len(facts)
    assert len(set(in_play)) >= 3  # some sooner than others
    assert len(in_play) < settings["steps"]  # and then the turn was over
    for weight in editor.weights:
        expected = slow.modules[weight.name].weight
        torch.testing.assert_close(weight.parameter.data, expected.data, atol=2e-4, rtol=0)


def fresh_tokens(editor: Editor, facts: Sequence[tuple[str, str]]) -> list[int]:
    """Of each fact, how many of its last tokens stand in its batch's suffix."""
    records = [Record(*f) for f in facts]
    encoded = [encode_record(r, editor.encoder, editor.context) for r in records]
    work = assemble(records, encoded, [editor.encoder.end_token])
    found = [0] * len(facts)
    for batch in editor.engine.batches(work.pairs):
        for pair in batch.rows.tolist():
            found[work.owners[pair]] = batch.suffix_ids.shape[1]
    return found
