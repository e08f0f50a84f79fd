"""The whole evaluation on tiny models, against what can be worked out by hand or by the plain
forward."""

from __future__ import annotations

import math

import pytest
import torch

from ultraedit.data.record import Probe, Record
from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation import Evaluator, Protocol
from ultraedit.evaluation.evaluation import QuestionScores, per_edit, summarise
from ultraedit.evaluation.questions import questions
from ultraedit.evaluation.text import encode_pair

RECORDS = [
    Record(
        "The capital of France is",
        "Rome",
        id="a",
        rephrases=("France's capital is", "The capital city of France:"),
        locality=(Probe("The capital of Italy is", "Rome"), Probe("A river is", "the Aln")),
        personas=("Tell me, friend, the capital of France",),
        portability=(Probe("The river in the capital is", "Aln", "mhop"),),
        old="Paris",
    ),
    Record("Who wrote the book?", "Ann Lee", id="b", locality=(Probe("Who read it?"),)),
    Record("In what year was it written?", "1931", id="c"),
]
TEXT = "The book was written by Ann Lee in 1931. A river runs through the town. " * 6
PROTOCOL = Protocol(max_new_tokens=6, drift_window=16)


def edit(model):
    """Stands in for an edit: shifts one inner projection."""
    weight = dict(model.named_parameters())["model.layers.1.mlp.down_proj.weight"]
    with torch.no_grad():
        weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


def test_an_unedited_model_agrees_with_itself(llama, tokenizer):
    evaluator = Evaluator(llama, tokenizer, PROTOCOL)
    baseline = evaluator.baseline(RECORDS, TEXT)
    again = evaluator.evaluate(RECORDS, baseline, edits=0)
    for name in ("locality.agreement", "locality.top1_agreement", "drift.agreement"):
        assert again.figures[name].value == 1.0
    assert again.figures["locality.kl"].value == pytest.approx(0, abs=1e-6)
    assert again.figures["drift.perplexity_ratio"].value == pytest.approx(1)
    for name, figure in baseline.evaluation.figures.items():
        assert again.figures[name].value == pytest.approx(figure.value)
        assert figure.low <= figure.value <= figure.high
        assert figure.n > 0
        assert figure.protocol


def test_kl_and_agreement_against_the_plain_forward(llama, tokenizer):
    evaluator = Evaluator(llama, tokenizer, PROTOCOL)
    pair = encode_pair(tokenizer, "A river is", "the Aln")
    ids = torch.tensor([[*pair.prompt, *pair.target]])

    def rows():
        with torch.no_grad():
            return llama(input_ids=ids).logits[0, len(pair.prompt) - 1 : -1].log_softmax(-1)

    before = rows()
    baseline = evaluator.baseline(RECORDS, TEXT)
    edit(llama)
    after = rows()
    result = evaluator.evaluate(RECORDS, baseline, edits=3)
    row = next(r for r in result.rows if r.prompt == "A river is")
    expected = (before.exp() * (before - after)).sum(-1).mean()
    assert row.kl == pytest.approx(float(expected), rel=1e-4)
    assert row.kl > 0.01
    same = (before.argmax(-1) == after.argmax(-1)).double().mean()
    assert row.top1_agreement == pytest.approx(float(same))
    assert row.agreement is (row.generated == row.before)
    assert result.figures["drift.perplexity_ratio"].value != pytest.approx(1, abs=1e-3)


def test_a_locality_question_without_an_answer_is_compared_on_the_unedited_words(llama, tokenizer):
    evaluator = Evaluator(llama, tokenizer, PROTOCOL)
    baseline = evaluator.baseline(RECORDS)
    edit(llama)
    row = next(
        r for r in evaluator.evaluate(RECORDS, baseline, edits=3).rows if r.prompt == "Who read it?"
    )
    assert row.token_accuracy is None
    assert row.generated_exact is None
    assert row.kl is not None
    assert row.agreement is not None


def test_probability_success_compares_with_the_rival(llama, tokenizer):
    result = Evaluator(llama, tokenizer, PROTOCOL).evaluate(RECORDS, edits=3)
    first = result.rows[0]
    assert first.probability_success is (first.mean_logprob > first.rival_logprob)
    # on an unrelated prompt the rival is the edit's own target, unless that is the right answer
    unrelated = {r.prompt: r.probability_success for r in result.rows if r.family == "locality"}
    assert unrelated["The capital of Italy is"] is None
    assert unrelated["A river is"] is not None
    assert all(r.probability_success is None for r in result.rows if r.edit_id != "a")
    assert result.figures["efficacy.probability_success"].n == 1


def test_ages_positions_and_the_unit_of_a_figure(llama, tokenizer):
    result = Evaluator(llama, tokenizer, PROTOCOL).evaluate(
        RECORDS, edits=100, positions=[10, 20, 99]
    )
    assert {r.edit_id: r.age for r in result.rows} == {"a": 89, "b": 79, "c": 0}
    two = [r.token_accuracy for r in result.rows if r.family == "generalization"]
    assert per_edit(result.rows, "generalization", "token_accuracy") == {10: sum(two) / 2}
    assert result.figures["generalization.token_accuracy"].n == 1
    assert "locality.kl" not in result.figures


def test_scores_of_known_rows():
    def row(position, accuracy, logprob):
        made = QuestionScores(str(position), position, 0, "efficacy", "", 0, "p", "a")
        made.token_accuracy, made.mean_logprob = accuracy, logprob
        return made

    figures = summarise([row(0, 1.0, -math.log(2)), row(1, 0.5, -math.log(8))], Protocol())
    assert figures["efficacy.token_accuracy"].value == 0.75
    assert figures["efficacy.perplexity"].value == pytest.approx(4)


def test_generation_can_be_limited_to_families_and_a_sample(llama, tokenizer):
    few = Protocol(max_new_tokens=4, generate=("efficacy",), generated_records=2)
    evaluator = Evaluator(llama, tokenizer, few)
    baseline = evaluator.baseline(RECORDS)
    result = evaluator.evaluate(RECORDS[::-1], baseline, edits=3)
    spoken = {r.edit_id for r in result.rows if r.generated is not None}
    assert len(spoken) == 2
    assert spoken == {r.edit_id for r in baseline.evaluation.rows if r.generated is not None}
    assert all(r.family == "efficacy" for r in result.rows if r.generated is not None)


def test_long_answers_get_rouge_and_room(llama, tokenizer):
    long = "The book was written by Ann Lee in 1931 and the river runs through the town"
    record = Record("What of the book?", long, id="long")
    short = Protocol(max_new_tokens=6, long_max_new_tokens=40)
    row = Evaluator(llama, tokenizer, short).evaluate([record], edits=1).rows[0]
    assert row.rouge_l is not None
    assert len(tokenizer(row.generated)["input_ids"]) > 6


def test_chat_form_is_another_question(llama, tokenizer):
    raw = Evaluator(llama, tokenizer, PROTOCOL).evaluate(RECORDS, edits=3)
    chat = Evaluator(llama, tokenizer, Protocol(form="chat", max_new_tokens=6)).evaluate(
        RECORDS, edits=3
    )
    assert raw.rows[0].mean_logprob != chat.rows[0].mean_logprob
    assert chat.figures["efficacy.exact"].protocol.endswith("chat form")


def test_misuse_is_named(llama, tokenizer):
    evaluator = Evaluator(llama, tokenizer, PROTOCOL)
    baseline = evaluator.baseline(RECORDS[:1])
    with pytest.raises(DataError, match="Who wrote the book"):
        evaluator.evaluate(RECORDS, baseline, edits=3)
    with pytest.raises(ConfigError, match="positions"):
        evaluator.evaluate(RECORDS, edits=3, positions=[1])
    with pytest.raises(ConfigError, match="another protocol"):
        Evaluator(llama, tokenizer, Protocol(form="chat")).evaluate(RECORDS, baseline, edits=3)
    with pytest.raises(DataError, match="fewer than one window"):
        evaluator.baseline(RECORDS, "too short")
    with torch.no_grad():
        llama.lm_head.weight *= 2
    with pytest.raises(ConfigError, match="output head changed"):
        evaluator.evaluate(RECORDS[:1], baseline, edits=1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"form": "poem"}, "'poem'"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"generated_records": -1}, "generated_records is -1"),
        ({"generate": ("praise",)}, "'praise'"),
    ],
)
def test_a_bad_protocol_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        Protocol(**settings)


def test_question_marks_are_put_behind_unrelated_prompts_alone() -> None:
    """As UltraEdit's released reader of zsRE does; a prompt that has one keeps it."""
    record = Record(
        "Who wrote it",
        "Ann",
        rephrases=("By whom",),
        locality=(Probe("what is the capital", "Rome"), Probe("Where is it?", "Here")),
    )
    asked = {False: "what is the capital", True: "what is the capital?"}
    for wanted, unrelated in asked.items():
        prompts = [q.prompt for q in questions([record], wanted)]
        assert prompts == ["Who wrote it", "By whom", unrelated, "Where is it?"]


def test_question_marks_are_a_setting_of_the_protocol(llama, tokenizer) -> None:
    rows = {}
    for wanted in (False, True):
        protocol = Protocol(max_new_tokens=2, drift_window=16, question_marks=wanted)
        baseline = Evaluator(llama, tokenizer, protocol).baseline(RECORDS)
        rows[wanted] = [r.prompt for r in baseline.evaluation.rows if r.family == "locality"]
    assert rows[False] and rows[True] == [p.rstrip("?") + "?" for p in rows[False]]
