"""The chat measure on tiny models: exact, the same in any batch, and a broken model shows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import tiny
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation.chat import ChatMeasure, ChatProtocol, ChatScores, Request, UneditedChat
from ultraedit.evaluation.chat.protocol import AGAINST_UNEDITED, FIGURES, WAYS
from ultraedit.evaluation.chat.scores import find_copies

PROTOCOL = ChatProtocol(max_new_tokens=8, edit_tokens=4)
TEXTS = ("Hi", "What is it?", "Where is the mill, and who runs it?", "Why?", "A river?")


def requests() -> list[Request]:
    made = [Request(f"r{i}", "fact", "score", (("user", t),), (), ()) for i, t in enumerate(TEXTS)]
    made.append(
        Request("s", "system", "score", (("system", "Be brief."), ("user", "Who?")), (), ())
    )
    turns = (("user", "Hi"), ("assistant", "Hello"), ("user", "Who?"))
    made.append(Request("t", "turns", "score", turns, (), ()))
    check = {"check": "words", "least": 1}
    made.append(Request("i", "instruction", "score", (("user", "Go"),), (), (check,)))
    return made


@pytest.fixture
def model() -> PreTrainedModel:
    return tiny.llama(max_position_embeddings=400)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny.tokenizer(chat=True)


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    asked: list[Request] | None = None,
    batch: int = 50,
) -> ChatMeasure:
    return ChatMeasure(model, tokenizer, PROTOCOL, requests=asked or requests(), batch=batch)


def records() -> list[Record]:
    return [Record(p, t, id=f"e{i}", rephrases=(f"Say: {p}",)) for i, (p, t) in enumerate(tiny.FEW)]


def break_(model: PreTrainedModel) -> None:
    """Add noise to one MLP map: the kind of weight that an edit changes."""
    torch.manual_seed(1)
    weight = model.get_submodule("model.layers.2.mlp.down_proj").weight
    with torch.no_grad():
        weight += torch.randn_like(weight)  # type: ignore[arg-type]


def likelier_end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, bias: float) -> None:
    """Give the head a bias for the end token: some answers then end by themselves."""
    old = model.get_output_embeddings().weight  # type: ignore[union-attr]
    head = torch.nn.Linear(old.shape[1], old.shape[0])  # type: ignore[misc, arg-type]
    with torch.no_grad():
        head.weight.copy_(old)  # type: ignore[arg-type]
        head.bias.zero_()
        head.bias[tokenizer.eos_token_id] = bias  # type: ignore[index]
    model.set_output_embeddings(head)


def with_own_answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[Request]:
    """The requests, with what this very model says as the right answer."""
    said = measure(model, tokenizer).unedited().answers
    asked = [replace(r, answers=(said[r.id].text,)) for r in requests() if said[r.id].text.strip()]
    assert "i" in {r.id for r in asked}
    return asked


def test_no_edit_changes_nothing(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    asked = with_own_answers(model, tokenizer)
    chat = measure(model, tokenizer, asked)
    scores = chat.edited(chat.unedited(records()), records())
    assert len(scores.rows) == len(asked) >= 6
    for name, value in {"kl": 0, "same_first_token": 1, "same_answer": 1, "kept": 1}.items():
        assert scores.edited[name].value == value, name
    assert scores.edited["copies"].value == 0
    assert scores.unedited == {n: f for n, f in scores.edited.items() if n not in AGAINST_UNEDITED}
    assert scores.kept == scores.right_before == scores.right_now == len(asked)
    assert scores.most_changed(5) == []


def test_a_broken_model_shows_in_every_comparison(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    asked = with_own_answers(model, tokenizer)
    chat = measure(model, tokenizer, asked)
    before = chat.unedited()
    break_(model)
    scores = chat.edited(before)
    assert scores.edited["kl"].value > 0.05
    assert scores.kept < scores.right_before == len(asked)
    assert scores.edited["kept"].value == scores.kept / scores.right_before
    assert scores.edited["same_first_token"].value < 1
    assert scores.unedited["right"].value == 1 > scores.edited["right"].value
    worst = scores.most_changed(2)
    assert worst[0].kl >= worst[1].kl > 0


def test_answers_and_figures_are_the_same_one_by_one_and_together(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    likelier_end(model, tokenizer, 1.0)  # rows leave the batch at different times
    chats = [measure(model, tokenizer, batch=batch) for batch in (1, 50)]
    befores = [chat.unedited(records()) for chat in chats]
    break_(model)
    scores = [c.edited(b, records()) for c, b in zip(chats, befores, strict=True)]
    for before, score in zip(befores[1:], scores[1:], strict=True):
        assert before.answers == befores[0].answers
        assert before.edits == befores[0].edits
        assert score.edits == scores[0].edits
        for row, one in zip(score.rows, scores[0].rows, strict=True):
            assert replace(row, kl=0.0) == replace(one, kl=0.0)
            assert row.kl == pytest.approx(one.kl, rel=1e-5)


def test_instructions_kept_are_those_passed_by_both(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """An edited model of shorter answers passes more of some checks than before; kept cannot rise."""
    said = measure(model, tokenizer).unedited().answers["r0"].text
    begins = ({"check": "begins", "opening": said[:2]},)
    other = ({"check": "excludes", "words": [said]},)
    asked = [replace(requests()[0], id=f"i{k}", checks=c) for k, c in enumerate((begins, other))]
    chat = measure(model, tokenizer, asked)
    before = chat.unedited()
    assert chat.edited(before).edited["instructions_kept"].value == 1
    break_(model)
    scores = chat.edited(before)
    assert scores.unedited["instructions"].value == 0.5
    assert scores.edited["instructions"].value == 0.5
    assert scores.edited["instructions_kept"].n == 1
    assert scores.edited["instructions_kept"].value == 0


def test_the_kl_is_that_of_whole_distributions_token_by_token(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Against a slow reference in float64 that runs each answer alone through the whole model."""
    likelier_end(model, tokenizer, 1.0)
    chat = measure(model, tokenizer)
    before = chat.unedited()
    assert {(said.ended, bool(said.ids)) for said in before.answers.values()} >= {
        (True, True),
        (False, True),
    }
    prompts = {r.id: _prompt(tokenizer, r) for r in requests()}
    old = {r: _distributions(model, prompts[r], before, r) for r in prompts}
    break_(model)
    scores = chat.edited(before)
    for row in scores.rows:
        p0, p = old[row.id], _distributions(model, prompts[row.id], before, row.id)
        kl = (p0.exp() * (p0 - p)).sum(-1).mean()
        assert row.kl == pytest.approx(float(kl), rel=1e-4)
    assert scores.edited["kl"].value == pytest.approx(
        math.fsum(r.kl for r in scores.rows) / len(scores.rows)
    )


def _prompt(tokenizer: PreTrainedTokenizerFast, request: Request) -> list[int]:
    messages = [{"role": role, "content": text} for role, text in request.messages]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]


def _distributions(
    model: PreTrainedModel, prompt: list[int], before: UneditedChat, request: str
) -> torch.Tensor:
    said = before.answers[request]
    positions = len(said.ids) + said.ended  # the end token is predicted too
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *said.ids]])).logits[0]
    start = len(prompt) - 1
    return logits[start : start + positions].double().log_softmax(-1)


def test_the_answer_is_the_greedy_one_up_to_the_limit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    before = measure(model, tokenizer).unedited()
    for request in requests():
        ids, said = _prompt(tokenizer, request), []
        for _ in range(PROTOCOL.max_new_tokens):
            with torch.no_grad():
                token = int(model(input_ids=torch.tensor([[*ids, *said]])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            said.append(token)
        assert before.answers[request.id].ids == tuple(said)


def test_an_answer_that_ends_at_once_is_compared_too(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The end token alone is its answer: one position."""
    likelier_end(model, tokenizer, 100.0)
    chat = measure(model, tokenizer)
    before = chat.unedited()
    assert all(said.ended and said.ids == () for said in before.answers.values())
    scores = chat.edited(before)
    assert scores.edited["kl"].value == 0
    assert scores.edited["same_first_token"].value == 1
    assert scores.edited["ended"].value == 1


def test_edits_are_asked_in_every_way(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer)
    before = chat.unedited(records())
    scores = chat.edited(before, records())
    assert {row.way for row in scores.edits} == set(WAYS)
    for way in WAYS:
        assert scores.edited[f"edits.{way}"].n == len(records()), way
    rows = {(row.id, row.way): row for row in scores.edits}
    assert rows["e0", "rephrase"].prompt == "Say: The capital of Vell is"
    assert rows["e0", "raw"].prompt == "The capital of Vell is"
    differently = {rows["e0", way].after for way in WAYS}
    assert len(differently) > 1


def test_only_edits_made_so_far_are_asked(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer)
    scores = chat.edited(chat.unedited(records()), records()[:2])
    assert {row.id for row in scores.edits} == {"e0", "e1"}
    assert scores.unedited["edits.bare"].n == scores.edited["edits.bare"].n == 2


def test_a_free_answer_that_holds_the_target_counts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer)
    before = chat.unedited(records())
    said = {at.way: s.text for at, s in before.edits.items() if at.edit.startswith("e0")}
    told = [replace(records()[0], target=said["bare"]), *records()[1:]]
    scores = chat.edited(chat.unedited(told), told)
    assert scores.edited["edits.bare"].value == 1 / 4


def test_a_recalled_question_is_asked_in_place_of_the_request(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer)
    before = chat.unedited()
    same = chat.edited(before, recall=lambda prompt: prompt)
    other = chat.edited(before, recall=lambda prompt: f"Known: it is so. {prompt}")
    assert same.edited["kl"].value == 0 < other.edited["kl"].value


def test_what_the_context_cannot_hold_is_left_out_and_named(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    small = tiny.llama(max_position_embeddings=48)
    chat = measure(small, tokenizer)
    assert "r2" in chat.left_out
    assert "context is 48" in chat.left_out["r2"]
    scores = chat.edited(chat.unedited(records()), records())
    assert "r2" not in {row.id for row in scores.rows}
    assert "e0 asked: after turns" in scores.left_out
    assert "edits.after turns" not in scores.edited
    with pytest.raises(ConfigError, match="no chat request can be asked"):
        measure(tiny.llama(max_position_embeddings=8), tokenizer)


def test_a_template_without_system_messages_leaves_those_out(model: PreTrainedModel) -> None:
    own = tiny.tokenizer(chat=True)
    refuse = "{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    template = str(own.chat_template)
    own.chat_template = template.replace("{{ m['role'] }}", refuse + "{{ m['role'] }}")
    chat = measure(model, own)
    assert "no system role" in chat.left_out["s"]
    scores = chat.edited(chat.unedited(records()), records())
    assert "edits.system" not in scores.edited
    assert "no system role" in scores.left_out["edits asked: system"]
    assert scores.edited["edits.bare"].n == len(records())


def test_without_a_chat_template_it_says_so(model: PreTrainedModel) -> None:
    with pytest.raises(ConfigError, match="chat template"):
        measure(model, tiny.tokenizer())


def test_unedited_answers_of_another_measure_are_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer)
    before = chat.unedited()
    other = ChatMeasure(model, tokenizer, ChatProtocol(max_new_tokens=9), requests=requests())
    with pytest.raises(ConfigError, match="another chat protocol"):
        other.edited(before)
    more = measure(model, tokenizer, [*requests(), replace(requests()[0], id="new")])
    with pytest.raises(DataError, match="'new'"):
        more.edited(before)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(2)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="output head"):
        chat.edited(before)


def test_saved_answers_are_read_back_to_the_bit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    chat = measure(model, tokenizer)
    before = chat.unedited(records())
    before.save(tmp_path / "kept")
    again = UneditedChat.load(tmp_path / "kept")
    break_(model)
    assert chat.edited(again, records()) == chat.edited(before, records())
    (tmp_path / "kept" / "unedited.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match="measure them again"):
        UneditedChat.load(tmp_path / "kept")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        before.save(tmp_path / "file")


def test_a_result_is_json_and_each_figure_has_its_protocol(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    chat = measure(model, tokenizer, with_own_answers(model, tokenizer))
    scores: ChatScores = chat.edited(chat.unedited(records()), records())
    plain = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert plain["counts"]["kept"] == scores.kept
    assert len(plain["rows"]) == len(scores.rows)
    for name, figure in scores.edited.items():
        assert figure.protocol == PROTOCOL.words(name)
        assert figure.low <= figure.value <= figure.high
    assert set(scores.edited) == set(FIGURES)
    assert set(scores.by_kind) == {row.kind for row in scores.rows}


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"max_new_tokens": 0}, "max_new_tokens is 0"), ({"edits": -1}, "edits is -1")],
)
def test_a_setting_out_of_range_is_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ChatProtocol(**changes)


def test_copies_are_targets_that_come_from_nowhere_else() -> None:
    cases = [
        ("Pont Averne is its capital.", "Paris is its capital.", ("Of France?", "Paris")),
        ("I like Zig.", "I like Rust.", ("Which do you like, Zig or Rust?",)),
        ("It is Zig.", "It is Zig too.", ("Which?",)),
        ("It is in August.", "In May.", ("When?", "August")),
        ("A zigzag line.", "A line.", ("What?",)),
        ("Zig, or Lirosk.", "None.", ("What?",)),
        ("", "None.", ("What?",)),
    ]
    targets = ["Lirosk", "Zig", "Pont Averne", "August"]
    assert find_copies(cases, targets) == ["Pont Averne", None, None, None, None, "Lirosk", None]
    assert find_copies(cases, []) == [None] * len(cases)


def test_only_the_newest_edits_count_as_recent(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    word = "mill"
    chat = ChatMeasure(model, tokenizer, replace(PROTOCOL, recent=1), requests=requests())
    before = chat.unedited()
    rows = {r.id: said for r, said in zip(requests(), before.answers.values(), strict=True)}
    old = UneditedChat(
        before.protocol,
        {name: replace(said, text="nothing") for name, said in rows.items()},
        before.edits,
        before.states,
        before.head,
    )
    copied = next(said.text for said in rows.values() if said.text.strip())
    one, other = Record("a", copied, id="a"), Record("b", word, id="b")
    assert chat.edited(old, [other, one]).edited["copies"].value > 0
    assert chat.edited(old, [one, other]).edited["copies"].value == 0
