"""The preset `stableedit` against the literal twin of the published code, warm-up included."""

from __future__ import annotations

import pytest
import torch
from test_twin import names_of
from transformers import PreTrainedTokenizerBase

import tiny
from twin import StableTwin, WhiteningStatistics
from ultraedit.core.statistics import WhitenedMoments
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.editing.warm_up import warm_up
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings

ETA = 5e-5
WARM = [tiny.FACTS[k : k + 5] for k in (0, 5)]
TURNS = [tiny.FACTS[k : k + 3] for k in range(1, 10)] + [[tiny.FACTS[0]]]
"""The last is one fact with an answer of several tokens, alone in its micro-batch."""


def assert_agrees(editor: Editor, twin: StableTwin, tolerance: float = 1e-5) -> None:
    for weight in editor.weights:
        expected = twin.model.get_submodule(weight.name).weight.detach()
        torch.testing.assert_close(weight.parameter.detach(), expected, atol=tolerance, rtol=0)
    for shape, expected in twin.statistics.items():
        found = editor.statistics.published[shape]
        assert isinstance(found, WhitenedMoments) and isinstance(expected, WhiteningStatistics)
        assert found.count == expected.n.item()
        for mine, theirs in ((found.mean, expected.mean), (found.covariance, expected.cov)):
            torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_stableedit_equals_the_twin(family: str, byte_tokenizer: PreTrainedTokenizerBase) -> None:
    model = tiny.family(family)
    names = names_of(model, "up", "down")
    before = [model.get_parameter(f"{name}.weight").clone() for name in names]
    editor = Editor(
        model, byte_tokenizer, EditSettings(preset="stableedit", step=ETA, modules=names)
    )
    twin = StableTwin(tiny.family(family), byte_tokenizer, names, ETA)
    assert warm_up(editor, [Record(*f) for facts in WARM for f in facts], turn_size=5) == 10
    for facts in WARM:
        twin.turn(facts)
    twin.warm()
    assert_agrees(editor, twin)
    assert (editor.edits, editor.turns) == (0, 0)
    for facts in TURNS:
        editor.edit_turn([Record(*fact) for fact in facts])
        twin.turn(facts)
        assert_agrees(editor, twin)
    whitened = [s for s, m in editor.statistics.published.items() if m.count > s[1] + 1]
    assert whitened  # else the twin would have shown nothing but paper's form again
    moved = [(w.parameter - b).abs().max() for w, b in zip(editor.weights, before, strict=True)]
    assert min(moved) > 1e-4


def test_whitening_makes_the_gradients_covariance_the_identity() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=generator)
    grads = torch.randn(4000, 6, generator=generator) @ mix + 3
    rows = torch.cat([torch.randn(4000, 4, generator=generator), grads], 1)
    moments = WhitenedMoments.blank(4, 6)
    for part in rows.split([1, 1999, 2000]):
        moments = moments.update(part)
    found = moments.whiten(rows)[:, 4:]
    torch.testing.assert_close(torch.cov(found.T), torch.eye(6), atol=0.02, rtol=0)
    torch.testing.assert_close(found.mean(0), torch.zeros(6), atol=1e-3, rtol=0)


def test_a_one_token_micro_batch_is_no_trouble() -> None:
    moments = WhitenedMoments.blank(2, 3).update(torch.ones(1, 5)).update(torch.zeros(1, 5))
    assert moments.whiten(torch.ones(2, 5)).isfinite().all()
    torch.testing.assert_close(moments.var, torch.full((5,), 0.5))


def test_statistics_survive_a_file(byte_tokenizer: PreTrainedTokenizerBase) -> None:
    editor = Editor(tiny.llama(), byte_tokenizer, EditSettings(preset="stableedit", step=ETA))
    editor.edit_turn([Record(*fact) for fact in tiny.FACTS])
    back = editor.engine.load_state_dict(editor.statistics.state_dict())
    for shape, kept in editor.statistics.published.items():
        found = back.published[shape]
        assert isinstance(found, WhitenedMoments) and isinstance(kept, WhitenedMoments)
        torch.testing.assert_close(found.root, kept.root, atol=0, rtol=0)


def test_what_cannot_be_warmed_up(byte_tokenizer: PreTrainedTokenizerBase) -> None:
    records = [Record(*fact) for fact in tiny.FEW]
    for name in ("paper", "default"):  # which whitens, but not with a warm-up
        editor = Editor(tiny.llama(), byte_tokenizer, EditSettings(preset=name, text=tiny.TEXT))
        with pytest.raises(ConfigError, match=f'"{name}" has no warm-up'):
            warm_up(editor, records)
    stable = Editor(tiny.llama(), byte_tokenizer, EditSettings(preset="stableedit"))
    stable.edit_turn(records)
    with pytest.raises(ConfigError, match="holds 4 edits already"):
        warm_up(stable, records)
