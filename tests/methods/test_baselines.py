"""Every baseline on a tiny random model: it teaches its targets, and it leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

import tiny
from ultraedit import Editor
from ultraedit.bench.schedule import MethodSpec
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation.scorer import ModelScorer
from ultraedit.evaluation.text import encode_pair
from ultraedit.methods.alphaedit import AlphaEditEngine
from ultraedit.methods.located import LocatedEngine
from ultraedit.methods.presets import BASELINES, method
from ultraedit.model.find import find_structure
from ultraedit.settings import EditSettings

SUBJECTS = ["Vell", "Tasp", "Bram", "Quill", "Sarn", "Kest", "Mord", "Ula"]
RECORDS = [
    Record(*fact, subject=s) for fact, s in zip(tiny.FACTS[: len(SUBJECTS)], SUBJECTS, strict=True)
]
SETTINGS: dict[str, dict[str, float]] = {
    "finetune": {"rate": 3e-3, "epochs": 12, "batch": 4},
    "lora": {"rate": 3e-2, "epochs": 12, "batch": 4, "rank": 8},
    "memit": {"weight": 0.01, "value_clamp": 10.0, "contexts": 0},
    "alphaedit": {"null": 2.0, "value_clamp": 10.0, "ridge": 0.01, "contexts": 0},
    "retrieval": {"nearest": 2},
}


def vivid(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Weights large enough for attention to carry something from the subject to the answer."""
    return tiny.llama(dtype, initializer_range=0.3)


def make(name: str, model: PreTrainedModel, modules: object = "auto", **more: float) -> Editor:
    how = method(name, **(SETTINGS[name] | more))
    return Editor(
        model,
        tiny.tokenizer(),
        EditSettings(preset=how, modules=modules, form="raw", text=tiny.TEXT),
    )  # type: ignore[arg-type]


def log_probability(model: PreTrainedModel) -> float:
    """Mean over the records of their answer tokens' mean log-probability."""
    pairs = [encode_pair(tiny.tokenizer(), r.prompt, r.target) for r in RECORDS]
    found = ModelScorer(model).score(pairs)
    return sum(s.mean_logprob for s in found) / len(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", ["finetune", "lora", "memit", "alphaedit"])
def test_it_teaches_its_targets_and_can_be_taken_back(name: str, dtype: torch.dtype) -> None:
    model = vivid(dtype)
    modules = {n for n, _ in model.named_modules()}
    kept = {n: p.clone() for n, p in model.named_parameters()}
    before = log_probability(model)
    baseline = make(name, model, "model.layers.0.mlp.down_proj")
    for low in (0, 4):
        baseline.take_turn(RECORDS[low : low + 4])
    baseline.settle()
    assert log_probability(model) > before + 0.2
    edited = {f"{w.name}.weight" for w in baseline.weights}
    for n, p in model.named_parameters():
        assert not p.requires_grad
        assert p.equal(kept[n]) == (n not in edited), n
    for w in baseline.weights:
        live = (w.original.float() + w.shift).to(dtype)
        assert w.parameter.equal(live)
    assert {n for n, _ in model.named_modules()} == modules  # no adapter is left behind
    baseline.reset()
    assert all(p.equal(kept[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "phi3"])
@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_other_families(name: str, family: str) -> None:
    model = tiny.family(family)
    before = log_probability(model)
    baseline = make(name, model)
    baseline.take_turn(RECORDS)
    baseline.settle()
    assert log_probability(model) > before + 0.2


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("name", ["memit", "alphaedit"])
def test_the_value_is_reached_over_several_maps(name: str, family: str) -> None:
    """What the last edited block gives at the subject's last token is what was sought there."""
    from ultraedit.methods.training import whole_batch

    model = tiny.family(family)
    names = [
        p.name for p in find_structure(model).projections if p.block in (1, 2) and p.role == "down"
    ]
    more = {"null": 1e6} if name == "alphaedit" else {}  # all directions are free
    baseline = make(name, model, names, **more)
    engine = baseline.engine
    assert isinstance(engine, LocatedEngine)
    pairs = [baseline.encoder.pair(r.prompt, r.target) for r in RECORDS]
    ending = [baseline.encoder.end_token]
    places = [engine.place(r, (p, t + ending)) for r, (p, t) in zip(RECORDS, pairs, strict=True)]
    batch, _, _ = whole_batch([p for x in places for p in x.pairs], "cpu")

    def there() -> torch.Tensor:
        return engine.look(places, batch, baseline.stack.trunk(batch), 0)[1]

    start, wanted = there(), engine.value(places)
    baseline.edit_turn(RECORDS)
    assert (wanted - there()).norm() < 0.3 * (wanted - start).norm()


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_training_is_over_all_edits_and_starts_anew(name: str) -> None:
    model = tiny.llama()
    baseline = make(name, model)
    baseline.take_turn(RECORDS)
    baseline.settle()
    once = [w.shift.clone() for w in baseline.weights]
    baseline.settle()
    assert all(w.shift.equal(s) for w, s in zip(baseline.weights, once, strict=True))


@pytest.mark.parametrize("name", ["memit", "alphaedit"])
def test_a_record_without_a_subject_is_refused(name: str) -> None:
    baseline = make(name, tiny.llama())
    with pytest.raises(DataError, match=f'the edit of "Who\\?" has no subject, and {name} needs'):
        baseline.edit_turn([Record("Who?", "Ann")])
    with pytest.raises(DataError, match='does not name its subject "Bo"'):
        baseline.edit_turn([Record("Who?", "Ann", subject="Bo")])


def test_the_subject_is_found_whatever_its_case_and_tokens() -> None:

    baseline = make("memit", tiny.llama(), contexts=1)
    engine = baseline.engine
    assert isinstance(engine, LocatedEngine)
    record = Record("The capital of Vell is", "Oruna", subject="vell")
    place = engine.place(record, baseline.encoder.pair(record.prompt, record.target))
    for (prompt, _), column in zip(place.pairs, place.columns, strict=True):
        said = tiny.tokenizer().decode(prompt[: column + 1], skip_special_tokens=True)
        assert str(said).endswith("The capital of Vell")
    assert len(place.pairs) == 2


def test_alphaedit_moves_nothing_outside_the_null_space() -> None:
    baseline = make("alphaedit", tiny.llama(), null=0.5)
    assert isinstance(baseline.engine, AlphaEditEngine)
    baseline.edit_turn(RECORDS)
    for w, p in zip(baseline.weights, baseline.engine.projectors, strict=True):
        torch.testing.assert_close(w.shift @ p, w.shift, atol=1e-5, rtol=1e-4)
        rank = round(float(p.trace()))
        assert 0 < rank < p.shape[0]


def test_the_top_block_cannot_be_located() -> None:
    model = tiny.llama()
    top = [p.name for p in find_structure(model).projections if p.block == 3 and p.role == "down"]
    with pytest.raises(ConfigError, match="below the last block"):
        make("memit", model, top)


def test_retrieval_puts_the_nearest_facts_before_the_question() -> None:
    baseline = make("retrieval", tiny.llama())
    baseline.edit_turn(RECORDS)
    said = baseline.recall("What is the capital of Vell?").split("\n")
    assert said[-1] == "What is the capital of Vell?"
    assert said[-2] == "The capital of Vell is Oruna"
    assert len(said) == 3
    baseline.edit_turn([Record("The capital of Vell is", "Ostra")])
    assert "Vell is Ostra" in baseline.recall("The capital of Vell is")
    assert "Oruna" not in baseline.recall("The capital of Vell is")
    baseline.reset()
    assert baseline.recall("The capital of Vell is") == "The capital of Vell is"


def test_each_says_what_it_needs() -> None:
    for name, how in BASELINES.items():
        assert all(text.endswith(".") for text in how.needs.as_dict().values()), name
        assert set(how.needs.as_dict()) <= set(MethodSpec(name, how, None).settings())


def test_settings_out_of_range_are_told() -> None:
    with pytest.raises(ConfigError, match=r"rate of finetune is 0\.0; it must be above 0"):
        method("finetune", rate=0.0)
    with pytest.raises(ConfigError, match="null of alphaedit is 1e-30, which leaves no direction"):
        make("alphaedit", tiny.llama(), null=1e-30)
