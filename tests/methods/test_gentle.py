"""The preset `gentle`: leads, the model's own answers in the metric, and answers in the model's own words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from ultraedit import ConfigError, DataError, Editor, Workspace, create_workspace
from ultraedit.core.labels import score_labels
from ultraedit.core.metric import DenseMetric, text_metric
from ultraedit.core.solve import solver
from ultraedit.data.record import Record
from ultraedit.editing.own_words import OwnWords, _first_sentence
from ultraedit.editing.rewordings import Rewordings, keeps_names
from ultraedit.editing.snapshot import calibration_from_tensors, calibration_tensors
from ultraedit.methods import calibration_cache
from ultraedit.methods.base import NO_EDIT, LiveModel
from ultraedit.methods.own_answers import FIRST_WEIGHT, answer_keys, own_answers, request_ids
from ultraedit.methods.presets import from_settings, method, settings_of
from ultraedit.methods.pull import TOKENS, Pull
from ultraedit.methods.ultraedit import UltraEditState
from ultraedit.model.find import find_structure
from ultraedit.model.trace import LEAST_LEAD, trace, wanted_leads
from ultraedit.settings import EditSettings
from ultraedit.workspace import changes, health
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings

PULLED = replace(method("gentle"), pull=1.0)  # type: ignore[call-arg]
FACTS = [Record(p, t, id=f"f{i}") for i, (p, t) in enumerate(tiny.FACTS[:4])]


@pytest.fixture(autouse=True)
def few_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two anchors in place of 110: a tiny model says nothing worth more."""
    made = tiny.few_requests(tmp_path)
    monkeypatch.setattr("ultraedit.data.bundled.requests_path", lambda: made)


def editor(form: str = "raw", **settings: object) -> Editor:
    wanted = {"preset": "gentle", "form": form, "text": tiny.TEXT, "wordings": 0} | settings
    return Editor(tiny.llama(), tiny.tokenizer(chat=True), EditSettings(**wanted))  # type: ignore[arg-type]


def test_a_lead_is_over_the_likeliest_other_token() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 4.0, 1.0]])
    found = score_labels(logits, torch.tensor([0, 2]), slope=True, leads=True)
    assert found.leads is not None
    torch.testing.assert_close(found.leads, torch.tensor([0.5, -3.0]))
    plain = score_labels(logits, torch.tensor([0, 2]), slope=True)
    assert plain.leads is None
    assert plain.log_probs.equal(found.log_probs)
    assert plain.slope is not None and found.slope is not None
    assert plain.slope.equal(found.slope), "asking for leads changed the gradient"


def test_what_the_model_says_by_itself_is_asked_for_half_its_lead() -> None:
    found = wanted_leads(torch.tensor([-2.0, 0.0, 0.01, 1.0, 9.0]), 1.5)
    torch.testing.assert_close(found, torch.tensor([1.5, 1.5, LEAST_LEAD, 0.5, 1.5]))


def test_only_tokens_that_lack_their_lead_are_pushed() -> None:
    """Their gradient is that of a loss over them alone, at their own places; the others have none."""
    live = editor()
    stack, weights = live.stack, live.weights
    pairs = [live.encoder.pair(r.prompt, r.target) for r in FACTS]
    batch = stack.batch(pairs, range(len(pairs)))
    trunk = stack.trunk(batch)
    whole = trace(stack, weights, batch, trunk, "sum")
    leads = trace(stack, weights, batch, trunk, "sum", lead=1e9)
    assert leads.short is not None and leads.short.all()
    torch.testing.assert_close(leads.grads[0], whole.grads[0])

    wanted = torch.full((len(whole.log_probs),), -1e9)
    wanted[3] = 1e9
    some = trace(stack, weights, batch, trunk, "sum", lead=wanted)
    assert some.short is not None
    assert some.short.nonzero()[:, 0].tolist() == [3]
    for grads in some.grads:
        assert grads[3].any()
        assert not grads[[i for i in range(len(grads)) if i != 3]].any()
    # the last map's own token feels its own loss alone, so there the two agree
    torch.testing.assert_close(some.grads[-1][3], _own_gradient(live, pairs, 3))


def _own_gradient(
    live: Editor, pairs: list[tuple[list[int], list[int]]], index: int
) -> torch.Tensor:
    """By autograd through the whole model: of answer token `index`'s loss at the last edited map's output there."""
    flat = [(i, j) for i, (_, target) in enumerate(pairs) for j in range(len(target))]
    row, place = flat[index]
    prompt, target = pairs[row]
    held: list[torch.Tensor] = []

    def keep(_: object, __: object, out: torch.Tensor) -> torch.Tensor:
        held.append(out.requires_grad_() if not out.requires_grad else out)
        return out

    handle = live.weights[-1].module.register_forward_hook(keep)
    logits = live.model(torch.tensor([[*prompt, *target]])).logits
    handle.remove()
    at = len(prompt) + place - 1
    loss = -logits[0, at].log_softmax(-1)[target[place]]
    (gradient,) = torch.autograd.grad(loss, held[0])
    return gradient[0, at]


def test_a_relative_ridge_damps_a_metric_of_any_size_alike() -> None:
    torch.manual_seed(0)
    keys, values, text = torch.randn(5, 12), torch.randn(5, 3), torch.randn(40, 12)
    small = text_metric(text, 1e4)
    moved = [
        keys
        @ solver(keys, 1.0, replace(small, matrix=small.matrix * size), relative=True)
        .solve(values)
        .delta()
        for size in (1.0, 100.0)
    ]
    torch.testing.assert_close(moved[0], moved[1], atol=1e-4, rtol=1e-3)
    fixed = (
        keys @ solver(keys, 1.0, replace(small, matrix=small.matrix * 100)).solve(values).delta()
    )
    assert float((fixed - moved[0]).norm()) > 0.1 * float(moved[0].norm())
    bare = solver(keys, 2.0, None, relative=True).solve(values).delta()
    share = 2.0 * float(keys.square().sum(1).mean())
    torch.testing.assert_close(bare, solver(keys, share).solve(values).delta())


def test_the_metric_holds_the_models_own_answers() -> None:
    live = editor()
    calibration = live.engine.calibration
    assert len(calibration.key_sizes) == len(live.weights)
    parts = _live(live)
    answers = own_answers(parts, request_ids(live.encoder))
    keys, counts = zip(*answer_keys(live.runner, answers), strict=True)
    rows = torch.cat([k[0] for k in keys])
    count = torch.cat(counts)
    size = float((rows.square().mean(1) * count).sum() / count.sum())
    assert calibration.key_sizes[0] == pytest.approx(size, rel=1e-5)
    assert sorted(set(count.tolist())) == [1.0, FIRST_WEIGHT]
    assert int((count == FIRST_WEIGHT).sum()) == len(answers), "one first token an answer"
    weight = live.method.own_weight  # type: ignore[attr-defined]
    own = weight * (rows.T * count) @ rows / count.sum() / size
    bare = editor(text_weight=0.0).engine.calibration.metrics[0].matrix  # type: ignore[union-attr]
    torch.testing.assert_close(bare, torch.eye(len(bare)) + own, atol=1e-3, rtol=1e-3)


def _live(live: Editor) -> LiveModel:
    return LiveModel(
        live.model,
        live.tokenizer,
        live.encoder,
        find_structure(live.model),
        live.weights,
        live.runner,
        tiny.TEXT,
        8,
    )


@pytest.mark.parametrize(("form", "voice"), [("chat", "own"), ("raw", "bare")])
def test_own_words_are_for_chats(form: str, voice: str) -> None:
    assert editor(form).voice == voice
    assert editor(form, voice="bare").voice == "bare"
    assert editor(form, voice="own").voice == "own"
    assert editor(form, preset="default").voice == "bare"


def test_a_voice_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match='voice is "loud"'):
        editor(voice="loud")


def test_every_sentence_holds_its_target_and_a_given_one_is_kept() -> None:
    live = editor("chat")
    given = replace(FACTS[0], sentences=(f"It is {FACTS[0].target}, they say.",))
    found = live.prepare([given, *FACTS[1:]])
    assert found[0].sentences == given.sentences
    for record in found:
        assert len(record.sentences) == 1
        assert record.target in record.sentences[0]
    with_rephrases = replace(FACTS[1], rephrases=("Say who.", "And who?"))
    (filled,) = live.prepare([with_rephrases], with_rephrases=True)
    assert len(filled.sentences) == 3
    assert filled.sentences[0] == found[1].sentences[0], (
        "a sentence depends on its own prompt alone"
    )


def test_the_target_goes_where_the_model_would_say_it_if_it_were_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = editor("chat")
    made = OwnWords(live.runner, live.encoder, live.context, frozenset())
    ids = live.encoder.inside
    monkeypatch.setattr(made, "_answers", lambda prompts: [ids("It is old.") for _ in prompts])
    places = [0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.95]
    monkeypatch.setattr(made, "_places", lambda prompts, own, asked: [places for _ in prompts])
    (record,) = made.fill([Record("Who?", "Ann")], with_rephrases=False)
    assert record.sentences == ("It is Ann.",), "the first place within NEAR_BEST of the best"
    monkeypatch.setattr(made, "_places", lambda prompts, own, asked: [[0.0] * 8 for _ in prompts])
    (record,) = made.fill([Record("Who?", "Ann")], with_rephrases=False)
    assert record.sentences == ("Ann",), "nowhere likely and not in the told answer: bare"
    monkeypatch.setattr(
        made, "_answers", lambda prompts: [ids("The head is Ann. Bo left.") for _ in prompts]
    )
    (record,) = made.fill([Record("Who?", "Ann")], with_rephrases=False)
    assert record.sentences == ("The head is Ann.",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The head is Ann. Bo left.", "The head is Ann."),
        ("The head is Ann", "The head is Ann."),
        ("Ann.", ""),
        ("Bo left. The head is Ann.", ""),
        ("A list:\n1. Ann", ""),
        ("Nobody knows.", ""),
    ],
)
def test_a_first_sentence_that_holds_the_target_and_says_more(text: str, found: str) -> None:
    assert _first_sentence(text, "Ann") == found


def test_a_sentence_without_its_target_is_refused() -> None:
    with pytest.raises(DataError, match="does not hold the target"):
        Record("Who?", "Ann", sentences=("It is Bo.",))
    with pytest.raises(DataError, match="2 sentences"):
        Record("Who?", "Ann", sentences=("Ann.", "Ann."))


def test_an_edit_is_written_as_a_sentence_and_told_so() -> None:
    live = editor("chat", steps=40)
    receipt = live.edit(FACTS[0].prompt, FACTS[0].target)
    assert receipt.sentence is not None
    assert FACTS[0].target in receipt.sentence
    assert receipt.sentence in str(receipt)
    assert receipt.probability_after > receipt.probability_before
    bare = editor("chat", voice="bare").edit(FACTS[0].prompt, FACTS[0].target)
    assert bare.sentence is None


def test_where_answers_are_bare_the_target_alone_is_written(tmp_path: Path) -> None:
    """A file may carry sentences for rephrases that are not written: the journal must be readable all the same."""
    base = tmp_path / "base"
    tiny.llama().save_pretrained(base)
    tiny.tokenizer(chat=True).save_pretrained(base)
    said = f"It is {FACTS[0].target}."
    given = replace(FACTS[0], rephrases=("Say who.",), sentences=(said, said))
    settings = EditSettings(form="chat", text=tiny.TEXT)
    with create_workspace(tmp_path / "ws", base, settings) as workspace:
        done = workspace.edit_turn([given, FACTS[1]])
        assert done.receipts[0].sentence is None
        (first, second) = workspace.store.journal.rows(1)
        assert first.record().sentences == ()
        changes.replay(workspace, workspace.history.find_current(f"#{second.edit}"))
        alone = {w.name: w.shift.clone() for w in workspace.editor.weights}
    fresh = Editor(tiny.llama(), tiny.tokenizer(chat=True), settings)
    fresh.edit_turn([FACTS[0]])
    for w in fresh.weights:
        assert w.shift.equal(alone[w.name])


def test_sentences_are_made_once_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    live = editor("chat")
    made: list[int] = []
    fill = OwnWords.fill

    def counted(self: OwnWords, records: list[Record], with_rephrases: bool) -> list[Record]:
        made.append(len(records))
        return fill(self, records, with_rephrases)

    monkeypatch.setattr(OwnWords, "fill", counted)
    live.edit_turn(live.prepare(FACTS[:2]))
    assert made == [2]


def test_settings_survive_a_file() -> None:
    kept = settings_of(method("gentle", voice="own"))
    assert from_settings(json.loads(json.dumps(kept))) == method("gentle", voice="own")


def test_a_workspace_keeps_the_sentences_and_writes_them_again_to_the_bit(tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny.llama().save_pretrained(base)
    tiny.tokenizer(chat=True).save_pretrained(base)
    made = create_workspace(
        tmp_path / "ws", base, EditSettings(preset="gentle", form="chat", text=tiny.TEXT)
    )
    with made as workspace:
        workspace.edit_turn(FACTS[:2])
        workspace.edit_turn(FACTS[2:])
        rows = [row for turn in (1, 2) for row in workspace.store.journal.rows(turn)]
        assert all(row.target in row.sentences[0] for row in rows)
        whole = {w.name: w.shift.clone() for w in workspace.editor.weights}
    with Workspace.open(tmp_path / "ws", write=True) as workspace:
        changes.replay(workspace, workspace.history.find_current(f"#{rows[0].edit}"))
        left = [row.sentences for row in workspace.store.journal.rows(workspace.head)]
        assert left == [row.sentences for row in rows[2:]]
        alone = {w.name: w.shift.clone() for w in workspace.editor.weights}
    assert any(not alone[name].equal(whole[name]) for name in whole)
    fresh = Editor(
        tiny.llama(),
        tiny.tokenizer(chat=True),
        EditSettings(preset="gentle", form="chat", text=tiny.TEXT),
    )
    fresh.edit_turn(fresh.prepare(FACTS[:2])[1:])
    fresh.edit_turn(FACTS[2:])
    for w in fresh.weights:
        assert w.shift.equal(alone[w.name]), "edited again, it is the model that never had the edit"


# -- rows that stay -----------------------------------------------------------------------------------


def test_the_slope_of_a_teacher_is_that_of_kl() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 9, requires_grad=True)
    teacher = torch.randn(4, 9)
    loss = torch.nn.functional.kl_div(
        logits.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="sum"
    )
    (expected,) = torch.autograd.grad(loss, logits)
    found = score_labels(logits.detach(), torch.zeros(4, dtype=torch.long), True, teacher=teacher)
    torch.testing.assert_close(found.slope, expected, atol=1e-6, rtol=1e-5)


def _pull(live: Editor) -> Pull:
    found = live.engine.pull()  # type: ignore[attr-defined]
    assert found is not None
    return found


def _drift(live: Editor) -> float:
    """Mean KL of the model's own answers to the unedited model, by the whole model."""
    total = count = 0.0
    for prompt, answer in live.engine.calibration.answers:
        ids = torch.tensor([[*prompt, *answer]])
        at = slice(len(prompt) - 1, len(prompt) + len(answer[:TOKENS]) - 1)
        with torch.no_grad():
            now = live.model(ids).logits[0, at].log_softmax(-1)
            with live.disable_edits():
                before = live.model(ids).logits[0, at].log_softmax(-1)
        total += float((before.exp() * (before - now)).sum())
        count += at.stop - at.start
    return total / count


def test_an_unedited_model_is_pulled_nowhere_and_an_edited_one_back() -> None:
    live = editor(preset=PULLED)
    for traced in _pull(live).trace("sum"):
        assert traced.stays
        assert (traced.owner == NO_EDIT).all()
        assert max(float(g.abs().max()) for g in traced.grads) < 1e-5
    live.edit_turn(FACTS)
    _pull(live).forget_prefixes()
    assert max(float(t.grads[0].abs().max()) for t in _pull(live).trace("sum")) > 1e-4


def test_a_pull_keeps_the_models_own_answers_nearer() -> None:
    drifts, learned = [], []
    for pull in (0.0, 1.0):
        wanted = replace(method("gentle"), pull=pull, own_weight=1e-6)  # type: ignore[call-arg]
        live = editor(preset=wanted)
        written = live.edit_turn(FACTS)
        drifts.append(_drift(live))
        learned.append(sum(r.learned for r in written.receipts))
    assert drifts[1] < 0.7 * drifts[0]
    assert learned[1] >= learned[0] - 1


def test_what_stays_is_no_edit() -> None:
    """Its rows are neither counted in the statistics nor remembered, and belong to no edit."""
    live = editor(preset=PULLED)
    without = editor()  # type: ignore[call-arg]
    written = live.edit_turn(FACTS)
    plain = without.edit_turn(FACTS)
    rows = len(plain.result.owner)
    held = sum(len(a[:TOKENS]) for _, a in live.engine.calibration.answers)
    assert written.result.owner[:rows].equal(plain.result.owner)
    assert written.result.owner[rows:].tolist() == [NO_EDIT] * held
    assert len(written.result.updates[0].left) == rows + held
    mine, theirs = live.statistics, without.statistics
    assert isinstance(mine, UltraEditState) and isinstance(theirs, UltraEditState)
    assert [m.count for m in mine.moments] == [m.count for m in theirs.moments]
    for a, b in zip(mine.metrics, theirs.metrics, strict=True):
        assert isinstance(a, DenseMetric) and isinstance(b, DenseMetric)
        assert a.matrix.equal(b.matrix)


def test_own_answers_are_kept_with_the_calibration(tmp_path: Path) -> None:
    calibration = editor().engine.calibration
    assert calibration.answers
    again = calibration_from_tensors(calibration_tensors(calibration))
    assert again.answers == tuple((list(p), list(a)) for p, a in calibration.answers)
    file = tmp_path / "kept.safetensors"
    calibration_cache.write(file, calibration)
    live = editor()
    found = calibration_cache.read(file, live.weights, live.stack.device)
    assert found is not None and found.answers == again.answers


@pytest.mark.parametrize("settings", [{"pull": -1.0}, {"pull": 1.0, "own_weight": 0.0}])
def test_a_pull_out_of_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="pull is"):
        replace(method("gentle"), **settings).check()  # type: ignore[arg-type]


# -- further wordings ---------------------------------------------------------------------------------


def test_a_wording_keeps_all_names_and_numbers() -> None:
    asked = "Who won the 2029 Wexholm bake-off?"
    assert keeps_names(asked, "Name the winner of Wexholm's, no: Wexholm bake-off of 2029.")
    assert not keeps_names(asked, "Who won the Wexholm bake-off?")
    assert not keeps_names(asked, "Who won the 2029 bake-off?")
    assert not keeps_names(asked, asked + " 2029 Wexholm" * 9)


def test_wordings_are_the_models_own_then_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    live = editor()
    maker = Rewordings(live.runner, live.tokenizer, live.context, frozenset())
    lines = [
        [
            ["Who leads Orvane?", "Who heads it?", "who runs orvane"],
            ["x"],
        ],
        [["Orvane is run by whom?"], ["Where is Brill?", "Where is Brill??"]],
    ]
    calls: list[list[str]] = []

    def continued(prompts: list[str], order: object) -> list[list[str]]:
        calls.append(list(prompts))
        return lines[len(calls) - 1] if len(calls) < 3 else [["By whom is Orvane run?"]]

    monkeypatch.setattr(maker, "_continued", continued)
    first, second = maker.make(["Who runs Orvane?", "Where is Brill"], 4)
    assert calls[1] == ["Who runs Orvane?", "Where is Brill"], "too few yet for either"
    assert len(calls) == 2
    maker.make(["Who runs Orvane?"], 1)
    assert len(calls) == 3, "one is enough where one is asked for"
    assert first[:2] == ("Who leads Orvane?", "Orvane is run by whom?")
    assert first[2] == "Tell me: Who runs Orvane?"
    assert second[0] == "Tell me: Where is Brill", "the same letters as the prompt's are no wording"
    assert len(first) == len(second) == 4


def test_wordings_are_written_and_kept_in_the_journal(tmp_path: Path) -> None:
    live = editor("chat", wordings=2)
    (given,) = live.prepare([replace(FACTS[0], rephrases=("Kept for a test?",))])
    assert len(given.wordings) == 2
    assert len(given.sentences) == 3
    assert live.prepare([given]) == [given], "made once"
    written = live.edit_turn([given])
    assert len(set(written.result.owner.tolist()) - {NO_EDIT}) == 1

    settings = EditSettings(preset="gentle", form="chat", text=tiny.TEXT, wordings=2)
    loaded = (tiny.llama(), tiny.tokenizer(chat=True))
    with create_workspace(tmp_path / "ws", "tiny", settings, loaded=loaded) as workspace:
        workspace.edit_turn(FACTS[:2])
        rows = list(workspace.store.journal.rows(1))
        assert [len(row.rephrases) for row in rows] == [2, 2]
        assert [len(row.sentences) for row in rows] == [3, 3]
        shifts = [w.shift.clone() for w in workspace.editor.weights]
        changes.undo(workspace, 2)
        workspace.edit_turn([row.record() for row in rows])
        for w, shift in zip(workspace.editor.weights, shifts, strict=True):
            assert w.shift.equal(shift)


def test_health_asks_for_the_sentence_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where answers are in the model's own words the bare target was never taught, and is no sign of a lost edit."""
    asked: list[tuple[list[int], list[int]]] = []

    def said(_: Editor, pairs: list[tuple[list[int], list[int]]]) -> list[bool]:
        asked.extend(pairs)
        return [True] * len(pairs)

    monkeypatch.setattr(health, "said_whole", said)
    often = HealthConfig(canary_tokens=0, reservoir_every=1)
    settings = EditSettings(preset="gentle", form="chat", text=tiny.TEXT)
    made = create_workspace(
        tmp_path / "ws",
        "tiny",
        settings,
        keep=WorkspaceSettings(health=often),
        loaded=(tiny.llama(), tiny.tokenizer(chat=True)),
    )
    with made as workspace:
        told = replace(FACTS[0], sentences=(f"They say it is {FACTS[0].target}.",))
        workspace.edit_turn([told])
        workspace.edit_turn([FACTS[1]])
        encoder = workspace.editor.encoder
        assert asked == [encoder.pair(told.prompt, told.sentences[0])]
