"""Ctrl-C at the worst moments of a turn: the editor stands before it or behind it, and never between."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.methods import closed_form, finetune, located
from ultraedit.model.maps.linear import LinearMap
from ultraedit.model.weights import EditedWeight
from ultraedit.settings import EditSettings

TURN = [Record(*fact, subject=fact[0].split()[-2]) for fact in tiny.FACTS[:4]]
LATER = [Record(*fact, subject=fact[0].split()[-2]) for fact in tiny.FACTS[4:8]]
MODULES = [f"model.layers.{i}.mlp.down_proj" for i in (1, 2)]
PRESETS = ["default", "paper", "finetune", "lora", "memit"]


def editor(preset: str) -> Editor:
    e = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(text=tiny.TEXT, form="raw", preset=preset, modules=MODULES),
    )
    e.edit_turn(TURN)
    return e


def standing(e: Editor) -> list[object]:
    tensors = [w.shift for w in e.weights] + [w.parameter for w in e.weights]
    tensors += list(e.statistics.state_dict().values())
    return [e.edits, e.turns, [t.detach().clone().tolist() for t in tensors]]


def second(method: Callable[..., object], stop: Callable[[], None]) -> Callable[..., object]:
    """The method, interrupted when it is done for the second time."""
    calls = 0

    def wrapped(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        found = method(*args, **kwargs)
        if calls == 2:
            stop()
        return found

    return wrapped


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [ctrl_c, interrupt])
@pytest.mark.parametrize("preset", PRESETS)
def test_between_two_map_writes(
    preset: str, stop: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    e = editor(preset)
    before = standing(e)
    with monkeypatch.context() as patched:
        for name in ("commit", "set_shift"):
            patched.setattr(EditedWeight, name, second(getattr(EditedWeight, name), stop))
        with pytest.raises(KeyboardInterrupt):
            e.edit_turn(LATER)
    assert standing(e) == before
    e.edit_turn(LATER)  # nobody else's change is suspected


@pytest.mark.parametrize("change", ["restore", "reset"])
def test_between_two_map_writes_of_going_back(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    e = editor("default")
    state = e.snapshot()
    e.edit_turn(LATER)
    before = standing(e)
    with monkeypatch.context() as patched:
        patched.setattr(LinearMap, "write", second(LinearMap.write, interrupt))
        with pytest.raises(KeyboardInterrupt):
            e.restore(state) if change == "restore" else e.reset()
    assert standing(e) == before


@pytest.mark.parametrize("preset", ["default", "finetune", "memit"])
def test_behind_the_last_map_write(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are the turn's, and what the method remembers is not yet."""
    e = editor(preset)
    before = standing(e)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        for module in (closed_form, finetune, located):
            patched.setattr(module, "TurnResult", stop)
        with pytest.raises(KeyboardInterrupt):
            e.edit_turn(LATER)
    assert standing(e) == before


def test_a_second_ctrl_c_waits_until_all_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    e = editor("default")
    before = standing(e)
    handler = signal.getsignal(signal.SIGINT)
    rest: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(EditedWeight, "commit", second(EditedWeight.commit, interrupt))
        whole = EditedWeight.set_shift

        def put_back(self: EditedWeight, shift: torch.Tensor) -> None:
            ctrl_c()
            rest.append(1)
            whole(self, shift)

        patched.setattr(EditedWeight, "set_shift", put_back)
        with pytest.raises(KeyboardInterrupt):
            e.edit_turn(LATER)
    assert len(rest) == len(MODULES)
    assert standing(e) == before
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_snapshot_is_left_alone_by_later_turns() -> None:
    for preset in ("default", "finetune", "paper"):
        e = editor(preset)
        state = e.snapshot()
        kept = {name: shift.clone() for name, shift in state.shifts.items()}
        e.edit_turn(LATER)
        assert all(state.shifts[name].equal(shift) for name, shift in kept.items())
        e.restore(state)
        e.edit_turn(LATER)
        assert all(state.shifts[name].equal(shift) for name, shift in kept.items())


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_turn_writes_what_it_previewed_once(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of a turn writes each map once, and its commit writes nothing more (the published way: its last
    bit)."""
    e = editor(preset)
    writes: list[str] = []
    for name in ("write", "add"):
        whole = getattr(LinearMap, name)

        def counted(
            self: LinearMap, rows: slice, *more: torch.Tensor, whole: Callable[..., None] = whole
        ) -> None:
            writes.append(self.name)
            whole(self, rows, *more)

        monkeypatch.setattr(LinearMap, name, counted)
    e.edit_turn(LATER[:1])
    steps = e.method.steps  # type: ignore[attr-defined]
    most = steps if preset == "default" else 2 * steps + 1
    assert 0 < writes.count(MODULES[0]) <= most
