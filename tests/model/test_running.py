"""A live model that its owner changes, wraps or runs in other surroundings: edits and answers stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
import transformers as hf
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import nn
from torch.nn.utils import parametrizations
from transformers import PreTrainedModel

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ModelError, NumericalError
from ultraedit.model.find import find_structure
from ultraedit.model.stack import Stack
from ultraedit.settings import EditSettings

TURN = [Record(*fact) for fact in tiny.FEW]


def editor(model: PreTrainedModel) -> Editor:
    return Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT, form="raw"))


def dropout() -> PreTrainedModel:
    """A GPT-2 with more dropout than it could answer through."""
    config = tiny.CONFIGS["gpt2"]()
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.5
    return tiny.build(config)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS: dict[str, Callable[[], object]] = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
    "meta by default": lambda: torch.device("meta"),
}


def train(model: PreTrainedModel) -> None:
    model.train()


def train_a_part(model: PreTrainedModel) -> None:
    model.get_decoder().train()


def checkpointing(model: PreTrainedModel) -> None:
    model.activation_checkpointing_enable()
    model.train()


def learn(model: PreTrainedModel) -> None:
    model.requires_grad_(True)


def tuples(model: PreTrainedModel) -> None:
    model.config.return_dict = False


def compiled(model: PreTrainedModel) -> None:
    model.compile(backend="eager")


CHANGES = [train, train_a_part, checkpointing, learn, tuples, compiled]


def weights(e: Editor) -> list[torch.Tensor]:
    return [w.parameter.detach().clone() for w in e.weights]


def as_ever(make: Callable[[], PreTrainedModel]) -> tuple[list[torch.Tensor], str]:
    e = editor(make())
    e.edit_turn(TURN)
    return weights(e), e.ask("The mayor of Tasp is").edited


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_no_bit(name: str) -> None:
    wanted, answer = as_ever(dropout)
    model = dropout()
    with SURROUNDINGS[name]():  # type: ignore[attr-defined]
        e = editor(model)
        e.edit_turn(TURN)
        found = e.ask("The mayor of Tasp is").edited
    assert all(a.equal(b) for a, b in zip(weights(e), wanted, strict=True))
    assert found == answer


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_what_is_done_to_the_model_changes_no_bit(
    change: Callable[[PreTrainedModel], None], before: bool
) -> None:
    wanted, answer = as_ever(dropout)
    model = dropout()
    if before:
        change(model)
    e = editor(model)
    if not before:
        change(model)
    e.edit_turn(TURN)
    assert all(a.equal(b) for a, b in zip(weights(e), wanted, strict=True))
    assert {e.ask("The mayor of Tasp is").edited for _ in range(3)} == {answer}
    e.reset()
    fresh = dropout()
    assert e.weights[0].parameter.equal(fresh.get_submodule(e.weights[0].name).weight)


@pytest.mark.parametrize("change", [train, checkpointing, learn, tuples], ids=lambda c: c.__name__)
def test_what_the_owner_set_stays_set(change: Callable[[PreTrainedModel], None]) -> None:
    model = dropout()
    e = editor(model)
    change(model)

    def settings() -> list[object]:
        return [
            [m.training for m in model.modules()],
            [p.requires_grad for p in model.parameters()],
            model.config.return_dict,
        ]

    before = settings()
    e.edit("The mayor of Tasp is", "Ida")
    assert settings() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_dtype_is_as_if_the_model_had_been_loaded_so(dtype: torch.dtype) -> None:
    model, loaded = tiny.llama(), tiny.llama()
    e = editor(model)
    e.edit_turn(TURN)
    shifts = [w.shift.clone() for w in e.weights]
    model.to(dtype)
    loaded.to(dtype)
    with e.disable_edits():
        for name, p in model.named_parameters():
            assert p.equal(loaded.get_parameter(name))
    e.ask("The mayor of Tasp is", compare=True)
    for w, shift in zip(e.weights, shifts, strict=True):
        assert w.shift.equal(shift)
        exact = w.original if dtype == torch.float64 else w.original.float()
        assert w.parameter.equal((exact + shift).to(dtype))
    written = e.edit_turn([Record("Ula plays the", "viola")])
    assert written.receipts[0].probability_after > written.receipts[0].probability_before
    e.reset()
    assert all(p.equal(loaded.get_parameter(n)) for n, p in model.named_parameters())


def test_a_dtype_changed_while_the_edits_are_disabled() -> None:
    model = tiny.llama()
    e = editor(model)
    e.edit_turn(TURN)
    with e.disable_edits():
        model.half()
        e.ask("The mayor of Tasp is")
    assert {p.dtype for p in model.parameters()} == {torch.float16}
    e.edit_turn([Record("Ula plays the", "viola")])


def test_float64_originals_lose_nothing() -> None:
    """An edit taken back gives all 53 bits of them again."""
    model = tiny.llama(torch.float64)
    before = {n: p.clone() for n, p in model.named_parameters()}
    e = editor(model)
    written = e.edit_turn(TURN)
    assert all(r.probability_after > r.probability_before for r in written.receipts)
    assert e.ask("The mayor of Tasp is").edited is not None
    e.reset()
    assert all(p.equal(before[n]) for n, p in model.named_parameters())


# -- what somebody else did to the edited weights ----------------------------------------------------


def step(model: PreTrainedModel, name: str) -> None:
    with torch.no_grad():
        model.get_submodule(name).weight.add_(0.01)


def put(model: PreTrainedModel, name: str) -> None:
    module = model.get_submodule(name)
    module.weight = nn.Parameter(torch.zeros_like(module.weight))


def reshape(model: PreTrainedModel, name: str) -> None:
    model.get_submodule(name).weight = nn.Parameter(torch.zeros(3, 3))


def swap(model: PreTrainedModel, name: str) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Linear(64, 32, bias=False))


def move(model: PreTrainedModel, name: str) -> None:
    model.to("meta")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (step, "was changed by something else"),
        (put, "was changed by something else"),
        (reshape, "was replaced by a weight of another shape"),
        (swap, "was replaced by another module"),
        (move, "was moved from cpu to meta"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_an_edited_weight_that_was_changed_is_not_overwritten(
    change: Callable[[PreTrainedModel, str], None], told: str
) -> None:
    model = tiny.llama()
    e = editor(model)
    name = e.weights[0].name
    change(model, name)
    now = model.get_submodule(name).weight.detach().clone()
    with pytest.raises(ModelError, match=rf"'{name}' {told}.*new Editor"):
        e.edit("The mayor of Tasp is", "Ida")
    if not now.is_meta:
        assert model.get_submodule(name).weight.equal(now)


def test_a_trunk_that_was_trained_is_run_anew() -> None:
    """Shared tokens of a chat template are kept from batch to batch, but not over a change of the model."""
    model = tiny.llama()
    e = editor(model)
    turn = [Record("The mayor of Tasp is", "Ida"), Record("The mayor of Wen is", "Bo")]
    e.edit_turn(turn)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(3.0)
    e.edit_turn(turn)
    kept = e.stack._shared
    assert kept is not None
    fresh = Stack(model, find_structure(model), e.stack.first)
    fresh.trunks([e.stack.batch([([*kept.ids, 5], [6]), ([*kept.ids, 7], [8])], range(2))])
    assert fresh._shared is not None and fresh._shared.hidden.equal(kept.hidden)


def test_a_head_that_was_resized_is_used() -> None:
    model = tiny.llama()
    e = editor(model)
    model.resize_token_embeddings(tiny.VOCAB + 16, mean_resizing=False)
    receipt = e.edit("The mayor of Tasp is", "Ida")
    assert receipt.probability_after > receipt.probability_before


# -- wrapped models ----------------------------------------------------------------------------------


def test_a_compiled_model_is_edited_underneath() -> None:
    model, plain = tiny.llama(), tiny.llama()
    wrapped = torch.compile(model, backend="eager")
    e, other = editor(wrapped), editor(plain)  # type: ignore[arg-type]
    for each in (e, other):
        each.edit_turn(TURN)
    assert e.model is model
    assert [w.name for w in e.weights] == [w.name for w in other.weights]
    for a, b in zip(weights(e), weights(other), strict=True):
        assert a.equal(b)
    ids = torch.tensor([[5, 6, 7]])
    assert wrapped(input_ids=ids).logits.equal(model(input_ids=ids).logits)


def test_blocks_that_are_compiled_one_by_one() -> None:
    model = tiny.llama()
    for layer in model.model.layers:
        layer.compile(backend="eager")
    e, other = editor(model), editor(tiny.llama())
    for each in (e, other):
        each.edit_turn(TURN)
    assert all(a.equal(b) for a, b in zip(weights(e), weights(other), strict=True))
    assert all(layer._compiled_call_impl is not None for layer in model.model.layers)


def test_hooks_of_accelerate_survive_an_edit() -> None:
    """On one device nothing else shows that a block lost its hook."""
    model = tiny.llama()
    hooked = [m for m in model.modules() if m is not model]
    for module in hooked:
        add_hook_to_module(module, AlignDevicesHook(execution_device="cpu"))
    before = [(m.__dict__["forward"], m._old_forward, m._hf_hook) for m in hooked]
    e = editor(model)
    e.edit("The mayor of Tasp is", "Ida")
    with e.disable_edits():
        e.ask("The mayor of Tasp is")
    assert [(m.__dict__["forward"], m._old_forward, m._hf_hook) for m in hooked] == before
    plain = editor(tiny.llama())
    plain.edit("The mayor of Tasp is", "Ida")
    assert all(a.equal(b) for a, b in zip(weights(e), weights(plain), strict=True))


def test_a_module_without_a_forward_of_its_own_gets_none() -> None:
    model = tiny.llama()
    e = editor(model)
    e.edit("The mayor of Tasp is", "Ida")
    assert not any("forward" in m.__dict__ for m in model.modules())


@pytest.mark.parametrize("what", ["all", "one block"])
def test_weights_that_are_not_in_memory_are_named(what: str) -> None:
    model = tiny.llama()
    part = model if what == "all" else model.model.layers[1]
    part.to("meta")
    name = "embed_tokens" if what == "all" else r"layers\.1\."
    with pytest.raises(ModelError, match=rf"'model\.{name}.*not in memory.*device_map"):
        editor(model)


def test_weights_that_accelerate_offloaded_are_named(tmp_path) -> None:
    from accelerate import disk_offload

    model = tiny.llama()
    disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
    with pytest.raises(ModelError, match=r"not in memory.*device_map or offloading"):
        editor(model)


def test_weights_made_in_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        model = tiny.llama()
    with pytest.raises(ModelError, match=r"inside torch.inference_mode.*load the model outside"):
        editor(model)


# -- weights that are no plain numbers ---------------------------------------------------------------


def packed(model: PreTrainedModel) -> None:
    class QuantLinear(nn.Module):
        """As GPTQ and AWQ pack them."""

        def __init__(self, linear: nn.Linear) -> None:
            super().__init__()
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.register_buffer("qweight", torch.zeros(4, 4, dtype=torch.int32))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.new_zeros(*x.shape[:-1], self.out_features)

    for layer in model.model.layers:
        for parent in (layer.self_attn, layer.mlp):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, QuantLinear(child))


def bytes_(model: PreTrainedModel) -> None:
    for layer in model.model.layers:
        down = layer.mlp.down_proj
        down.weight = nn.Parameter(down.weight.to(torch.uint8), requires_grad=False)


def float8(model: PreTrainedModel) -> None:
    for layer in model.model.layers:
        down = layer.mlp.down_proj
        down.weight = nn.Parameter(down.weight.to(torch.float8_e4m3fn), requires_grad=False)


def computed(model: PreTrainedModel) -> None:
    parametrizations.weight_norm(model.model.layers[2].mlp.down_proj)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (packed, r"'model\.layers\.0\.self_attn\.q_proj' is a QuantLinear.*quantis"),
        (bytes_, r"'model\.layers\.2\.mlp\.down_proj' holds torch.uint8 weights.*quantis"),
        (float8, r"'model\.layers\.2\.mlp\.down_proj' holds torch.float8_e4m3fn weights.*quantis"),
        (computed, r"'model\.layers\.2\.mlp\.down_proj' makes its weight anew at every call"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_weights_that_cannot_be_written_are_named(
    change: Callable[[PreTrainedModel], None], told: str
) -> None:
    model = tiny.llama()
    change(model)
    with pytest.raises(ModelError, match=told):
        editor(model)


# -- what a model is ---------------------------------------------------------------------------------


def t5() -> PreTrainedModel:
    config = hf.T5Config(
        vocab_size=tiny.VOCAB, d_model=32, d_ff=64, d_kv=8, num_layers=2, num_heads=4
    )
    return hf.T5ForConditionalGeneration(config)


def headless() -> PreTrainedModel:
    return hf.LlamaModel(tiny.CONFIGS["llama"]())


def classifier() -> PreTrainedModel:
    return hf.LlamaForSequenceClassification(tiny.CONFIGS["llama"]())


def bert(cls: type[PreTrainedModel]) -> PreTrainedModel:
    sizes = {k: v for k, v in tiny.SIZES.items() if k != "num_key_value_heads"}
    return cls(hf.BertConfig(**tiny.BASE, **sizes)).eval()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (t5, "T5ForConditionalGeneration is an encoder-decoder model"),
        (headless, "LlamaModel has no language-model head.*AutoModelForCausalLM"),
        (classifier, "LlamaForSequenceClassification has no language-model head"),
        (lambda: bert(hf.BertForMaskedLM), "BertForMaskedLM is no causal language model"),
        (lambda: bert(hf.BertLMHeadModel), "BertLMHeadModel is no causal.*is_decoder=True"),
    ],
    ids=["encoder-decoder", "no head", "classifier", "masked", "not causal"],
)
def test_a_model_is_refused_by_what_it_is(make: Callable[[], PreTrainedModel], told: str) -> None:
    model = make()
    with pytest.raises(ModelError, match=told):
        editor(model)


@pytest.mark.parametrize("where", ["edited", "frozen"])
def test_weights_that_are_not_finite_refuse_the_turn(where: str) -> None:
    model = tiny.llama()
    e = editor(model)
    before = weights(e)
    with torch.no_grad():
        if where == "frozen":
            model.model.layers[0].mlp.down_proj.weight.fill_(torch.nan)
        else:
            model.lm_head.weight[5].fill_(torch.inf)
    with pytest.raises(NumericalError, match=r"not finite.*untouched"):
        e.edit("The mayor of Tasp is", "Ida")
    assert all(a.equal(b) for a, b in zip(weights(e), before, strict=True))


def test_an_error_leaves_the_surroundings_as_they_were() -> None:
    model = dropout()
    e = editor(model)
    model.train()
    with nullcontext(), pytest.raises(RuntimeError, match="stop"):
        handle = model.lm_head.register_forward_hook(_stop)
        e.ask("The mayor of Tasp is")
    handle.remove()
    assert all(m.training for m in model.modules())
    assert not any("forward" in m.__dict__ for m in model.modules())


def _stop(*_: object) -> None:
    raise RuntimeError("stop")
