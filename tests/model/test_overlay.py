"""Another version of the edited maps for a reader: to the bit, for its thread alone, with the live weights at rest."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, ModelError
from ultraedit.model.find import find_structure
from ultraedit.model.overlay import Version, reading
from ultraedit.model.weights import EditedWeight, edited_weights, version_of
from ultraedit.settings import EditSettings

IDS = torch.tensor([[5, 6, 7, 40, 41, 90]])
PROMPT = "The mayor of Tasp is"
TURN = [Record(*fact) for fact in tiny.FEW]

families = pytest.mark.parametrize("family", ["llama", "gpt2"])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def downs(model: PreTrainedModel) -> tuple[EditedWeight, ...]:
    chosen = [p for p in find_structure(model).projections if p.role == "down" and p.block > 0]
    return edited_weights(model, chosen)


def other(weights: tuple[EditedWeight, ...], seed: int = 0) -> Version:
    draw = torch.Generator().manual_seed(seed)
    shifts = {w.name: torch.randn(w.shift.shape, generator=draw) * 0.1 for w in weights}
    return version_of(weights, shifts)


@torch.no_grad()
def logits(model: Callable[..., Any]) -> Tensor:
    return model(input_ids=IDS).logits


def really(family: str, dtype: torch.dtype, version: Version) -> Tensor:
    """Logits of a model whose weights were replaced by the version's."""
    model = tiny.family(family, dtype)
    for w, weight in zip(downs(model), version.weights, strict=True):
        w.module.weight = nn.Parameter(weight.clone(), requires_grad=False)
    return logits(model)


def with_another_version(
    family: str,
) -> tuple[PreTrainedModel, tuple[EditedWeight, ...], Version, Tensor]:
    """A model, its edited weights, another version of them, and what the model answers in that one."""
    model = tiny.family(family)
    weights = downs(model)
    version = other(weights)
    return model, weights, version, really(family, torch.float32, version)


@families
@dtypes
def test_a_version_answers_as_a_model_with_its_weights(family: str, dtype: torch.dtype) -> None:
    model = tiny.family(family, dtype)
    weights = downs(model)
    version, live = other(weights), logits(model)
    wanted = really(family, dtype, version)
    assert not wanted.equal(live)
    with reading([w.map for w in weights], version):
        assert logits(model).equal(wanted)
    assert logits(model).equal(live)


@families
def test_a_live_write_during_a_read_does_not_show(family: str) -> None:
    model, weights, version, wanted = with_another_version(family)
    with reading([w.map for w in weights], version):
        for w in weights:
            w.set_shift(torch.full_like(w.shift, 0.05))
            assert w.parameter.equal(version.weights[weights.index(w)])
        assert logits(model).equal(wanted)
    for w in weights:
        assert w.parameter.equal(w.original + 0.05)


def test_the_live_parameters_are_not_touched() -> None:
    model = tiny.llama()
    weights = downs(model)
    before = [(p, p.data_ptr(), p._version, p.detach().clone()) for p in model.parameters()]
    held = [w.module._parameters for w in weights]
    with pytest.raises(ZeroDivisionError), reading([w.map for w in weights], other(weights)):
        logits(model)
        for p, pointer, writes, value in before:
            assert (p.data_ptr(), p._version) == (pointer, writes) and p.equal(value)
        raise ZeroDivisionError
    assert all(p is q[0] for p, q in zip(model.parameters(), before, strict=True))
    assert all(w.module._parameters is kept for w, kept in zip(weights, held, strict=True))
    assert all(type(kept) is dict for kept in held)


def test_two_threads_read_two_versions_at_once() -> None:
    """Both stand inside their forwards at the same moment, and a third runs the live model beside them."""
    model = tiny.llama()
    weights = downs(model)
    versions = [other(weights, seed) for seed in (1, 2)]
    wanted = [really("llama", torch.float32, v) for v in versions] + [logits(model)]
    together = threading.Barrier(3, timeout=30)
    found: dict[int, Tensor] = {}

    def wait(*_: object) -> None:
        together.wait()

    def read(index: int) -> None:
        if index == 2:
            found[index] = logits(model)
            return
        with reading([w.map for w in weights], versions[index]):
            together.wait()
            found[index] = logits(model)
            together.wait()

    handle = model.model.layers[1].register_forward_pre_hook(wait)
    threads = [threading.Thread(target=read, args=(i,)) for i in range(3)]
    for thread in threads[:2]:
        thread.start()
    together.wait()  # both blocks are open
    threads[2].start()
    for thread in threads[2:]:
        thread.join()
    together.wait()
    for thread in threads[:2]:
        thread.join()
    handle.remove()
    assert [found[i].equal(wanted[i]) for i in range(3)] == [True, True, True]
    assert all(type(w.module._parameters) is dict for w in weights)


@families
def test_hooks_and_forwards_of_others_run_and_survive(family: str) -> None:
    model, weights, version, wanted = with_another_version(family)
    hooked = [m for m in model.modules() if m is not model]
    for module in hooked:
        add_hook_to_module(module, AlignDevicesHook(execution_device="cpu"))
    seen: list[Tensor] = []

    def see(module: nn.Module, args: object, out: Tensor) -> None:
        seen.append(out)

    handles = [w.module.register_forward_hook(see) for w in weights]
    before = [(m.__dict__["forward"], m._old_forward, m._hf_hook) for m in hooked]
    with reading([w.map for w in weights], version):
        assert logits(model).equal(wanted)
        assert [(m.__dict__["forward"], m._old_forward, m._hf_hook) for m in hooked] == before
    assert len(seen) == len(weights)
    assert [(m.__dict__["forward"], m._old_forward, m._hf_hook) for m in hooked] == before
    assert all(w.module._forward_hooks for w in weights)
    for handle in handles:
        handle.remove()


def test_what_is_saved_and_copied_in_a_block_is_the_version(tmp_path) -> None:
    model = tiny.llama()
    weights = downs(model)
    version = other(weights)
    with reading([w.map for w in weights], version):
        wanted = logits(model)
        model.save_pretrained(tmp_path)
        copied = copy.deepcopy(model)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        named = dict(model.named_parameters())
        spread = {**weights[0].module._parameters}["weight"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    for found in (loaded, copied):
        assert logits(found).equal(wanted)
    for w, weight in zip(weights, version.weights, strict=True):
        assert state[f"{w.name}.weight"].equal(weight)
        assert named[f"{w.name}.weight"].equal(weight)
        assert type(copied.get_submodule(w.name)._parameters) is dict
    assert spread is not None and spread.equal(version.weights[0])


def test_a_block_inside_a_block_shows_its_own_version() -> None:
    model = tiny.llama()
    weights = downs(model)
    maps = [w.map for w in weights]
    one, two = other(weights, 1), other(weights, 2)
    wanted = [really("llama", torch.float32, v) for v in (one, two)]
    with reading(maps, one):
        with reading(maps, two):
            assert logits(model).equal(wanted[1])
        assert logits(model).equal(wanted[0])


@torch.no_grad()
def test_compiled_code_reads_the_version() -> None:
    model = tiny.llama()
    weights = downs(model)
    mlp = model.model.layers[1].mlp
    compiled = torch.compile(mlp, backend="eager")
    x = torch.randn(2, 3, 32)
    live = compiled(x)
    assert live.equal(mlp(x))
    with reading([w.map for w in weights], other(weights)):
        assert compiled(x).equal(mlp(x))
        assert not compiled(x).equal(live)
    assert compiled(x).equal(live)


def test_a_parameter_that_is_put_in_inside_a_block_stays() -> None:
    model = tiny.llama()
    weights = downs(model)
    new = nn.Parameter(torch.zeros_like(weights[0].parameter), requires_grad=False)
    with reading([w.map for w in weights], other(weights)):
        weights[0].module.weight = new
        assert weights[0].module.weight is new
    assert weights[0].module.weight is new


def test_a_version_of_other_maps_is_refused() -> None:
    model = tiny.llama()
    weights = downs(model)
    maps = [w.map for w in weights]
    with (
        pytest.raises(ModelError, match=r"of other maps than model\.layers\.1"),
        reading(maps, Version(())),
    ):
        pass
    assert all(type(w.module._parameters) is dict for w in weights)


# -- the Editor's blocks -----------------------------------------------------------------------------


def editor(model: PreTrainedModel) -> Editor:
    return Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT, form="raw"))


@families
@dtypes
def test_a_version_of_an_editor_outlives_later_turns(family: str, dtype: torch.dtype) -> None:
    e = editor(tiny.family(family, dtype))
    e.edit_turn(TURN[:2])
    wanted, version, state = logits(e.model), e.version(), e.snapshot()
    e.edit_turn(TURN[2:])
    later = logits(e.model)
    for made in (version, e.version(state)):
        with e.reading(made):
            assert logits(e.model).equal(wanted)
    with e.as_of(state):
        assert logits(e.model).equal(wanted)
        assert all(w.shift.equal(state.shifts[w.name]) for w in e.weights)
        with e.disable_edits():
            assert logits(e.model).equal(logits(tiny.family(family, dtype)))
        assert logits(e.model).equal(wanted)
    assert logits(e.model).equal(later)


def test_nothing_is_edited_where_another_version_is_shown() -> None:
    e = editor(tiny.llama())
    e.edit_turn(TURN[:2])
    state, version = e.snapshot(), e.version()
    blocks = [
        (e.disable_edits, "disabled here"),
        (lambda: e.as_of(state), "as it was at another time"),
        (lambda: e.reading(version), "as it was at another time"),
    ]
    for block, told in blocks:
        changes: list[Callable[[], object]] = [
            lambda: e.edit(PROMPT, "Bo"), e.reset, lambda: e.restore(state), e.settle,
        ]  # fmt: skip
        for change in changes:
            with block(), pytest.raises(ConfigError, match=told):
                change()
    assert all(w.shift.equal(state.shifts[w.name]) for w in e.weights)


def test_answers_of_two_threads_are_each_of_its_version() -> None:
    """Generation too: the head is run alone in one thread while the other runs the decoder."""
    e = editor(tiny.llama())
    base = e.ask(PROMPT).edited
    e.edit(PROMPT, "Ida")
    now = e.ask(PROMPT).edited
    assert now != base
    found: dict[str, set[str]] = {"base": set(), "now": set()}

    def ask() -> None:
        for _ in range(3):
            found["now"].add(e.ask(PROMPT).edited)

    def ask_base() -> None:
        with e.disable_edits():
            for _ in range(3):
                found["base"].add(e.ask(PROMPT).edited)

    threads = [threading.Thread(target=ask), threading.Thread(target=ask_base)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"base": {base}, "now": {now}}
    assert not any("forward" in m.__dict__ for m in e.model.modules())


def test_a_turn_is_written_while_another_thread_reads_the_base() -> None:
    """The reader runs the whole model whenever the turn stands in the middle of a forward, some blocks replaced.

    To rounding only, at such moments: torch keeps its choice of an attention kernel for the whole process.
    """
    e, alone = editor(tiny.llama()), editor(tiny.llama())
    for each in (e, alone):
        each.edit_turn(TURN[:2])
    base = logits(tiny.llama())
    apart = float((logits(e.model) - base).abs().max())
    assert apart > 1e-2
    asked, answered, over = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    found: list[float] = []
    turn = threading.current_thread()

    def read() -> None:
        with e.disable_edits():
            while asked.acquire(timeout=30) and not over.is_set():
                found.append(float((logits(e.model) - base).abs().max()))
                answered.release()

    def hand_over(*_: object) -> None:
        if threading.current_thread() is turn:
            asked.release()
            assert answered.acquire(timeout=30)

    reader = threading.Thread(target=read)
    reader.start()
    handles = [layer.register_forward_hook(hand_over) for layer in e.model.model.layers[:3]]
    try:
        e.edit_turn(TURN[2:])
    finally:
        over.set()
        asked.release()
        reader.join()
    for handle in handles:
        handle.remove()
    alone.edit_turn(TURN[2:])
    assert len(found) > 10 and max(found) < 1e-5
    for w, plain in zip(e.weights, alone.weights, strict=True):
        assert w.parameter.equal(plain.parameter) and w.shift.equal(plain.shift)
