"""What a turn promises: nobody's batch mates matter, all of it or nothing, and back again to the bit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.methods.scores import answer_scores
from ultraedit.methods.ultraedit import UltraEdit
from ultraedit.model.batch import make_batch
from ultraedit.model.text import encode_pair
from ultraedit.model.trace import Trace, trace
from ultraedit.settings import EditSettings

RECORDS = [Record(*fact) for fact in tiny.FACTS]


def editor(dtype: torch.dtype = torch.float32, **changes) -> Editor:
    settings = {"step": 0.1, "steps": 2, "text_weight": 10.0, "text": tiny.TEXT} | changes
    return Editor(tiny.llama(dtype), tiny.tokenizer(), EditSettings(**settings))


def weights_of(some: Editor) -> list[torch.Tensor]:
    return [w.parameter.detach().clone() for w in some.weights]


def assert_close(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], tolerance: float) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, atol=tolerance, rtol=0)


# -- invariance -----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, len(tiny.FACTS) - 1), min_size=1, max_size=5, unique=True))
@settings(deadline=None, max_examples=10)
def test_an_edits_gradients_do_not_depend_on_its_batch_mates(mates: list[int]) -> None:
    """Alone, or padded to the longest of any company: the same keys, gradients and probabilities."""
    some = EDITOR
    pairs = [
        encode_pair(some.tokenizer, RECORDS[i].prompt, RECORDS[i].target, "raw") for i in mates
    ]
    batch = make_batch(pairs, list(range(len(pairs))))
    together = trace(some.stack, some.weights, batch, some.stack.trunk(batch), "sum")
    for i, pair in enumerate(pairs):
        single = make_batch([pair], [0])
        alone = trace(some.stack, some.weights, single, some.stack.trunk(single), "sum")
        mine = together.owner == i
        assert_close([k[mine] for k in together.keys], alone.keys, 1e-5)
        assert_close([g[mine] for g in together.grads], alone.grads, 1e-5)
        assert_close([together.log_probs[mine]], [alone.log_probs], 1e-4)


EDITOR = editor()
"""Shared by tests that only look."""


@pytest.mark.parametrize("micro_batch", [1, 2, 5])
def test_micro_batch_size_does_not_change_the_update(micro_batch: int) -> None:
    whole, parts = editor(micro_batch=100), editor(micro_batch=micro_batch)
    for turn in (RECORDS[:8], RECORDS[8:]):
        a, b = whole.edit_turn(turn), parts.edit_turn(turn)
        assert [r.learned for r in a.receipts] == [r.learned for r in b.receipts]
    assert_close(weights_of(whole), weights_of(parts), 1e-5)


@given(st.permutations(range(6)))
@settings(deadline=None, max_examples=5)
def test_order_inside_a_turn_does_not_matter(order: list[int]) -> None:
    EDITOR_A.reset()
    first = EDITOR_A.edit_turn(RECORDS[:6])
    expected = weights_of(EDITOR_A)
    EDITOR_A.reset()
    again = EDITOR_A.edit_turn([RECORDS[i] for i in order])
    assert_close(weights_of(EDITOR_A), expected, 1e-5)
    for position, i in enumerate(order):  # receipts follow their records
        assert again.receipts[position].prompt == RECORDS[i].prompt
        assert again.receipts[position].probability_after == pytest.approx(
            first.receipts[i].probability_after, rel=1e-2
        )


EDITOR_A = editor()


def test_the_low_rank_update_of_a_turn_is_its_shift() -> None:
    """What a journal keeps is all of it, over all steps, and every row has an owner."""
    some = editor(steps=3)
    some.edit_turn(RECORDS[:3])
    before = [w.shift.clone() for w in some.weights]
    turn = some.edit_turn(RECORDS[3:9]).result
    for w, update, old in zip(some.weights, turn.updates, before, strict=True):
        torch.testing.assert_close(w.shift - old, update.delta().T, atol=1e-6, rtol=0)
        assert update.left.shape[0] == turn.owner.shape[0]
    tokens = [
        len(encode_pair(some.tokenizer, r.prompt, r.target, "raw")[1]) + 1 for r in RECORDS[3:9]
    ]
    assert torch.bincount(turn.owner).tolist() == tokens  # the end token included


def test_history_makes_later_turns_spare_earlier_edits() -> None:
    """How far a later turn moves the module's outputs at the keys of an earlier one."""

    def disturbance(history: bool) -> float:
        form = UltraEdit("tested", step=0.2, steps=1, history=history)
        some = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(preset=form, text=tiny.TEXT))
        keys = some.edit_turn(RECORDS[:6]).result.updates[0].left  # the metric is I here: left is H
        later = some.edit_turn(RECORDS[6:]).result.updates[0].delta()
        return float((keys @ later).norm() / later.norm())

    assert disturbance(True) < 0.5 * disturbance(False)


def test_repeating_a_run_repeats_it_to_the_bit() -> None:
    a, b = editor(), editor()
    for some in (a, b):
        some.edit_turn(RECORDS[:5])
        some.edit_turn(RECORDS[5:])
    assert all(x.equal(y) for x, y in zip(weights_of(a), weights_of(b), strict=True))


# -- keeping and going back -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restore_returns_weights_and_future_to_the_bit(dtype: torch.dtype) -> None:
    some = editor(dtype)
    some.edit_turn(RECORDS[:4])
    state, kept = some.snapshot(), weights_of(some)
    some.edit_turn(RECORDS[4:8])
    future = weights_of(some)
    assert not any(x.equal(y) for x, y in zip(kept, future, strict=True))
    some.restore(state)
    assert all(x.equal(y) for x, y in zip(weights_of(some), kept, strict=True))
    assert (some.edits, some.turns) == (4, 1)
    some.edit_turn(RECORDS[4:8])
    assert all(x.equal(y) for x, y in zip(weights_of(some), future, strict=True))


def test_a_snapshot_is_not_touched_by_later_turns() -> None:
    some = editor()
    some.edit_turn(RECORDS[:4])
    state = some.snapshot()
    copies = {name: shift.clone() for name, shift in state.shifts.items()}
    some.edit_turn(RECORDS[4:8])
    assert all(state.shifts[name].equal(copy) for name, copy in copies.items())


def test_reset_gives_the_unedited_model() -> None:
    some = editor(torch.bfloat16)
    before = weights_of(some)
    some.edit_turn(RECORDS)
    some.reset()
    assert all(x.equal(y) for x, y in zip(weights_of(some), before, strict=True))
    assert (some.edits, some.turns, some.statistics.moments[0].count) == (0, 0, 0)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_statistics_tensors_round_trip(preset: str) -> None:
    weight = 10.0 if preset == "default" else None  # the other has no metric
    some = editor(preset=preset, step=1e-3, steps=1, text_weight=weight, modules="*.2.mlp.*_proj")
    some.edit_turn(RECORDS[:5])
    kept = some.statistics
    tensors = kept.state_dict()
    back = some.engine.load_state_dict({name: t.clone() for name, t in tensors.items()})
    if preset == "paper":
        assert set(back.published) == set(kept.published) == {(32, 64), (64, 32)}
        assert all(p.count == kept.published[s].count for s, p in back.published.items())
    else:
        assert [m.count for m in back.moments] == [m.count for m in kept.moments]
        assert len(back.metrics) == len(kept.metrics) == 3
    again = back.state_dict()
    assert set(again) == set(tensors)
    assert all(again[name].equal(t) and again[name].dtype == t.dtype for name, t in tensors.items())


def test_statistics_with_a_missing_tensor_are_refused() -> None:
    some = editor()
    some.edit_turn(RECORDS[:2])
    tensors = some.statistics.state_dict()
    del tensors["moments.0.energy"]
    with pytest.raises(KeyError, match=r"moments\.0\.energy"):
        some.engine.load_state_dict(tensors)


# -- the original model ---------------------------------------------------------------------------


def test_disabled_is_the_original_to_the_bit_also_after_an_exception() -> None:
    ids = torch.tensor([[1, 40, 41, 42, 43]])
    some = editor(torch.bfloat16)
    with torch.no_grad():
        original = some.model(ids).logits
        some.edit_turn(RECORDS)
        edited = some.model(ids).logits
        assert not edited.equal(original)
        with some.disable_edits():
            assert some.model(ids).logits.equal(original)
        assert some.model(ids).logits.equal(edited)
        with pytest.raises(ZeroDivisionError), some.disable_edits():
            raise ZeroDivisionError
        assert some.model(ids).logits.equal(edited)


def test_ask_compares_with_the_original() -> None:
    some = editor(step=0.1, steps=10, text_weight=0.0, modules="*.down_proj")
    prompt, target = tiny.FACTS[0]
    unedited = some.ask(prompt, max_new_tokens=8).edited
    receipt = some.edit(prompt, target)
    assert receipt.before is not None
    assert receipt.after is not None
    answer = some.ask(prompt, compare=True, max_new_tokens=8)
    assert answer.original == unedited
    assert answer.edited == target
    assert receipt.learned
    assert receipt.after == target
    assert receipt.probability_after > 1000 * receipt.probability_before


def test_rephrases_are_written_only_on_request() -> None:
    record = Record("The capital of Vell is", "Oruna", rephrases=("Vell's capital is named",))
    off, on = editor(), editor()
    off.edit_turn([record])
    on.edit_turn([record], with_rephrases=True)
    plain = editor()
    plain.edit_turn([Record(record.prompt, record.target)])
    assert all(x.equal(y) for x, y in zip(weights_of(off), weights_of(plain), strict=True))
    assert on.statistics.moments[0].count == 2 * off.statistics.moments[0].count


# -- chat form ------------------------------------------------------------------------------------


def test_chat_form_is_taken_where_there_is_a_template(
    chat_tokenizer: PreTrainedTokenizerBase, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    model = tiny.llama()
    assert Editor(model, byte_tokenizer, EditSettings(text=tiny.TEXT)).form == "raw"
    chat = Editor(model, chat_tokenizer, EditSettings(text=tiny.TEXT))
    assert chat.form == "chat"
    assert Editor(model, chat_tokenizer, EditSettings(form="raw", text=tiny.TEXT)).form == "raw"
    written = chat.edit_turn(RECORDS[:3])
    after = sum(r.probability_after for r in written.receipts)
    assert after > sum(r.probability_before for r in written.receipts)


def test_more_steps_learn_more() -> None:
    def after(steps: int) -> float:
        written = editor(steps=steps, text_weight=0.0).edit_turn(RECORDS[:6])
        return sum(r.probability_after for r in written.receipts)

    assert after(6) > after(2) > after(1)


def test_nothing_warns_in_a_plain_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        editor().edit_turn(RECORDS[:2])


def test_an_answer_stops_where_its_end_token_is_the_most_likely_one() -> None:
    """Pairs 0 and 2 are edit 0 in two forms, pair 1 is edit 1; both answers have two tokens and an end."""
    owner = torch.tensor([1, 1, 1, 0, 0, 0, 2, 2, 2])
    hits = torch.tensor([1, 1, 0, 1, 1, 1, 0, 0, 0]).bool()
    log_probs = torch.tensor([0.5, 0.5, 0.1, 0.8, 0.5, 0.9, 0.1, 0.1, 0.1]).log()
    found = Trace(owner, keys=(), grads=(), log_probs=log_probs, hits=hits)
    probabilities, learned, stops = answer_scores([found], [0, 1, 0], [2, 2])
    assert probabilities.tolist() == pytest.approx([0.4, 0.25])
    assert learned.tolist() == [True, True]
    assert stops.tolist() == [True, False]
    _, _, stops = answer_scores([found], [0, 1, 0], [3, 3])  # no end token among these
    assert stops.tolist() == [False, False]
