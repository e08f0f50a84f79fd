"""Bad input at the Editor: one clear sentence, and the model as it was, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.assemble import SupersededWarning
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, DataError, ModelError, NumericalError
from ultraedit.methods.presets import method
from ultraedit.model.runner import local as turn_module
from ultraedit.settings import EditSettings

GOOD = [Record(*fact) for fact in tiny.FEW]


@pytest.fixture
def editor() -> Editor:
    """With one turn behind it, so that there is something to lose."""
    made = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(step=0.05, steps=2, text_weight=10.0, text=tiny.TEXT),
    )
    made.edit_turn(GOOD[:2])
    return made


@contextmanager
def untouched(editor: Editor) -> Iterator[None]:
    """Nothing about the editor or its model differs after the block."""
    before = {n: p.detach().clone() for n, p in editor.model.named_parameters()}
    shifts = [w.shift.clone() for w in editor.weights]
    kept, counts = editor.statistics.state_dict(), (editor.edits, editor.turns)
    yield
    for name, parameter in editor.model.named_parameters():
        assert parameter.equal(before[name]), name
    assert all(w.shift.equal(s) for w, s in zip(editor.weights, shifts, strict=True))
    now = editor.statistics.state_dict()
    assert set(now) == set(kept)
    assert all(torch.equal(now[name], kept[name]) for name in kept)
    assert (editor.edits, editor.turns) == counts


# -- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            Record("The capital of Vell is", "", line=7),
            r'line 7: the target of "The capital of Vell is" is empty',
        ),
        (Record("The capital of Vell is", "  \n"), r"the target of .* is empty"),
        (Record("", "Oruna", line=3), "line 3: the prompt is empty"),
        (Record(" \t ", "Oruna", id="e9"), 'edit "e9": the prompt is empty'),
        (
            Record("far too long " * 20, "Oruna", line=2),
            rf'line 2: "far too long .*\.\.\." and its target take 2\d\d tokens .* context is {tiny.CONTEXT}',
        ),
        (Record("The capital is", "x" * tiny.CONTEXT), r"its target take \d+ tokens"),
    ],
    ids=["empty", "blank", "no-prompt", "blank-prompt", "long-prompt", "long-target"],
)
def test_unusable_text_refuses_the_whole_turn(editor: Editor, bad: Record, says: str) -> None:
    with untouched(editor), pytest.raises(DataError, match=says):
        editor.edit_turn([GOOD[2], bad, GOOD[3]])


def test_the_longest_text_that_fits_is_edited(editor: Editor) -> None:
    """One bos, the prompt, a blank, the target, and the end token fill the context exactly."""
    target = "Oruna"
    prompt = "p" * (tiny.CONTEXT - 1 - 1 - len(target) - 1)
    written = editor.edit_turn([Record(prompt, target)])
    assert 0 <= written.receipts[0].probability_after <= 1
    with untouched(editor), pytest.raises(DataError, match="context"):
        editor.edit_turn([Record(prompt + "p", target)])


def test_an_empty_turn_is_refused(editor: Editor) -> None:
    with untouched(editor), pytest.raises(ConfigError, match="at least one edit"):
        editor.edit_turn([])


def test_edit_refuses_an_empty_target(editor: Editor) -> None:
    with untouched(editor), pytest.raises(DataError, match=r"target .* is empty"):
        editor.edit("The capital of Vell is", "")


def test_the_later_of_two_duplicates_wins_with_a_warning(editor: Editor) -> None:
    turn = [
        Record("The capital of Vell is", "Oruna", id="a", line=4),
        GOOD[3],
        Record("The capital of Vell is ", "Lund", id="b", line=9),
    ]
    with pytest.warns(SupersededWarning, match=r"line 9 .*Lund.* line 4 .*Oruna") as seen:
        written = editor.edit_turn(turn)
    assert len(seen) == 1
    assert len(written.receipts) == 3
    assert editor.edits == 2 + 3
    assert [r.superseded_by for r in written.receipts] == ["b", None, None]
    assert [r.id for r in written.receipts] == ["a", "", "b"]

    alone = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(step=0.05, steps=2, text_weight=10.0, text=tiny.TEXT),
    )
    alone.edit_turn(GOOD[:2])
    alone.edit_turn(turn[1:])  # as if the first had never been given
    for mine, theirs in zip(editor.weights, alone.weights, strict=True):
        torch.testing.assert_close(mine.parameter.data, theirs.parameter.data, atol=1e-6, rtol=0)


def test_a_repeated_edit_is_written_once_without_a_warning(editor: Editor) -> None:
    rows = editor.statistics.moments[0].count
    written = editor.edit_turn([GOOD[2], GOOD[2]])
    assert [r.superseded_by for r in written.receipts] == [None, None]
    assert written.receipts[0].probability_after == written.receipts[1].probability_after > 0
    target_tokens = len(" " + GOOD[2].target) + 1
    assert editor.statistics.moments[0].count - rows == target_tokens


# -- numbers --------------------------------------------------------------------------------------


def test_a_nan_loss_refuses_the_turn(editor: Editor) -> None:
    """A poisoned embedding row: only the edit that uses its token fails, and it fails as a whole turn."""
    token = editor.tokenizer("~", add_special_tokens=False)["input_ids"][0]
    editor.model.get_input_embeddings().weight.data[token] = float("inf")
    with untouched(editor), pytest.raises(NumericalError, match="not finite; the turn was refused"):
        editor.edit_turn([GOOD[2], Record("The capital of ~ is", "Oruna")])
    assert len(editor.edit_turn(GOOD[2:]).receipts) == 2


def test_a_nan_in_the_second_step_takes_the_first_one_back(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = editor.weights[0].parameter.detach().clone()
    monkeypatch.setattr(editor.engine, "micro_batch", 1)
    moved = []

    def poisoned(*args, **kwargs):
        found = turn_module_trace(*args, **kwargs)
        moved.append(not editor.weights[0].parameter.equal(live))
        if moved[-1]:  # the first step has been written
            found.log_probs.fill_(float("nan"))
        return found

    turn_module_trace = turn_module.trace
    monkeypatch.setattr(turn_module, "trace", poisoned)
    with untouched(editor), pytest.raises(NumericalError, match="refused"):
        editor.edit_turn(GOOD[2:])
    assert moved == [False, False, True, True]  # two batches a step


def test_a_step_that_explodes_is_taken_back() -> None:
    """Nothing is patched: a step of 1e30 overflows the second forward."""
    wild = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(step=1e30, steps=3, text_weight=0.0, text=tiny.TEXT),
    )
    with untouched(wild), pytest.raises(NumericalError, match="untouched"):
        wild.edit_turn(GOOD)


def test_an_interrupted_turn_is_taken_back(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(editor.engine, "micro_batch", 1)

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:  # two batches a step: the first step has been written
            raise KeyboardInterrupt
        return turn_module_trace(*args, **kwargs)

    turn_module_trace = turn_module.trace
    monkeypatch.setattr(turn_module, "trace", interrupted)
    with untouched(editor), pytest.raises(KeyboardInterrupt):
        editor.edit_turn(GOOD[2:])


def test_a_single_one_token_edit_as_the_very_first_turn() -> None:
    """No variance can be had from one row; the default needs none and stays finite afterwards."""
    editor = Editor(
        tiny.llama(),
        tiny.tokenizer(bos=False),
        EditSettings(form="raw", end_token=False, text=tiny.TEXT),
    )
    one = editor.tokenizer("7", add_special_tokens=False)["input_ids"]
    assert len(one) == 1
    for prompt, target in (("Q", "7"), *tiny.FEW):
        written = editor.edit_turn([Record(prompt, target)])
        assert all(w.parameter.isfinite().all() for w in editor.weights)
        assert 0 <= written.receipts[0].probability_after <= 1
    assert editor.turns == 5


def one_token_tokenizer():
    """Byte tokenizer with ' Yes' as one token, because raw targets bring a blank of their own."""
    from tokenizers import AddedToken

    made = tiny.tokenizer()
    made.add_tokens([AddedToken(" Yes", lstrip=False, normalized=False)])
    assert len(made(" Yes", add_special_tokens=False)["input_ids"]) == 1
    return made


@pytest.mark.parametrize("end_token", [True, False])
def test_one_answer_token_in_the_first_turn(end_token: bool) -> None:
    editor = Editor(
        tiny.llama(), one_token_tokenizer(), EditSettings(end_token=end_token, text=tiny.TEXT)
    )
    receipt = editor.edit_turn([Record("Is it so?", "Yes")]).receipts[0]
    assert editor.statistics.moments[0].count == 1 + end_token
    assert receipt.probability_after > receipt.probability_before
    for record in GOOD:
        editor.edit_turn([record])
        assert all(w.parameter.isfinite().all() for w in editor.weights)


def test_paper_refuses_a_one_token_turn_and_goes_on() -> None:
    editor = Editor(tiny.llama(), one_token_tokenizer(), EditSettings(preset="paper", step=1e-3))
    with (
        untouched(editor),
        pytest.raises(NumericalError, match="turn NaN on a micro-batch with one answer token"),
    ):
        editor.edit_turn([Record("Is it so?", "Yes")])
    written = editor.edit_turn(GOOD)
    assert all(p.std.isfinite().all() for p in editor.statistics.published.values())
    assert len(written.receipts) == 4
    with untouched(editor), pytest.raises(NumericalError, match="preset"):
        editor.edit_turn([Record("Is it so?", "Yes")])


# -- settings and structure -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"preset": "papier"},
            'preset "papier" is unknown; the presets are paper, stableedit, default',
        ),
        ({"steps": 0}, "steps is 0"),
        ({"step": -1.0}, "step -1.0 and ridge"),
        ({"step": float("nan")}, "step nan"),
        ({"ridge": 0.0}, "ridge 0.0 must be above 0"),
        ({"text_weight": -1.0}, "text_weight -1.0 not below 0"),
        ({"preset": "paper", "steps": 3}, "published with one step, not 3"),
        ({"form": "xml"}, 'form "xml" is unknown'),
        ({"form": "chat"}, 'form="chat" needs a chat template'),
        ({"micro_batch": 0}, "micro_batch is 0"),
    ],
)
def test_bad_settings_are_quoted(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT, **settings))


@pytest.mark.parametrize(("preset", "horizon"), [("default", -5.0), ("paper", 100.0)])
def test_a_bad_horizon_is_quoted(preset: str, horizon: float) -> None:
    with pytest.raises(ConfigError, match=f"horizon is {horizon}"):
        method(preset, horizon=horizon)


def test_a_turn_of_no_edits_is_refused(editor: Editor) -> None:
    with untouched(editor), pytest.raises(ConfigError, match="turn_size is 0"):
        editor.edit_many(GOOD, turn_size=0)


def test_tied_modules_are_refused() -> None:
    model = tiny.llama()
    layers = model.model.layers
    layers[1].mlp.down_proj.weight = layers[2].mlp.down_proj.weight
    with pytest.raises(
        ModelError, match=r"shares its weight with 'model\.layers\.1\.mlp\.down_proj'"
    ):
        Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))


def test_the_head_cannot_be_edited() -> None:
    """Tied to the embeddings or not, it lies outside the blocks."""
    for tied in (True, False):
        model = tiny.llama(tie_word_embeddings=tied)
        with pytest.raises(ModelError, match="no linear map inside the blocks matches 'lm_head'"):
            Editor(model, tiny.tokenizer(), EditSettings(modules="lm_head", text=tiny.TEXT))


def test_a_map_tied_to_a_module_outside_the_blocks_is_refused() -> None:
    model = tiny.llama()
    model.model.twin_of_down = torch.nn.Linear(64, 32, bias=False)
    model.model.twin_of_down.weight = model.model.layers[2].mlp.down_proj.weight
    with pytest.raises(ModelError, match=r"shares its weight with 'model\.twin_of_down'"):
        Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))


def test_a_tokenizer_without_an_end_token_is_told_before_editing() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = None
    editor = Editor(tiny.llama(), tokenizer, EditSettings(text=tiny.TEXT))
    with untouched(editor), pytest.raises(ConfigError, match="end_token=False"):
        editor.edit_turn(GOOD)


# -- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_prompts_at_the_end_of_the_context_are_asked_and_longer_ones_refused(family: str) -> None:
    """Learned positions (GPT-2, OPT) have no row beyond the context: generation must stop before."""
    editor = Editor(tiny.family(family), tiny.tokenizer(), EditSettings(steps=1, text=tiny.TEXT))
    fits = "p" * (tiny.CONTEXT - 1 - 8)
    assert isinstance(editor.ask(fits, max_new_tokens=32).edited, str)
    assert editor.edit(fits[4:], "Oruna").after is not None
    with pytest.raises(DataError, match=rf'the prompt "ppp.*\.\.\." takes {tiny.CONTEXT} tokens'):
        editor.ask(fits + "p" * 8)
    with untouched(editor), pytest.raises(DataError, match="shorten the prompt"):
        editor.edit(fits + "p" * 8, "Oruna")
    with untouched(editor), pytest.raises(DataError, match="shorten the prompt"):
        editor.edit("Short?", "Oruna", rephrases=[fits + "p" * 8])


def test_an_empty_question_is_refused(editor: Editor) -> None:
    with pytest.raises(DataError, match='the prompt "  " is empty'):
        editor.ask("  ")
    with untouched(editor), pytest.raises(DataError, match="the prompt is empty"):
        editor.edit("", "Oruna")
    with untouched(editor), pytest.raises(DataError, match="a rephrase is empty"):
        editor.edit("The capital of Vell is", "Oruna", rephrases=[""])


def test_nothing_is_written_into_the_originals_while_they_are_live(editor: Editor) -> None:
    state = editor.snapshot()
    with untouched(editor), editor.disable_edits():
        for change in (
            lambda: editor.edit_turn(GOOD[2:]),
            lambda: editor.restore(state),
            editor.reset,
        ):
            with pytest.raises(ConfigError, match="the edits are disabled here"):
                change()
        with editor.disable_edits():  # twice is as good as once
            assert editor.weights[0].parameter.equal(editor.weights[0].original)
        assert editor.weights[0].parameter.equal(editor.weights[0].original)
    editor.edit_turn(GOOD[2:])


def test_text_too_short_to_measure_is_quoted() -> None:
    with pytest.raises(ConfigError, match='text "a" is too short'):
        Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text="a"))
