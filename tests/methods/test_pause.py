"""Readers that are answered in the middle of a turn: from their own version, and without a trace in the turn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.model.overlay import Version
from ultraedit.model.runner import local
from ultraedit.model.runner.base import Runner
from ultraedit.model.runner.listener import Listener
from ultraedit.model.trace import Trace
from ultraedit.settings import EditSettings

PROMPT = "The mayor of Tasp is"
IDS = torch.tensor([[5, 6, 7, 40, 41, 90]])
TURN = [Record(*fact, subject=fact[0].split()[-2]) for fact in tiny.FACTS[:6]]
LATER = [Record(*fact, subject=fact[0].split()[-2]) for fact in tiny.FACTS[6:]]
PRESETS = ["default", "thorough", "paper", "finetune", "lora", "memit", "alphaedit", "retrieval"]


def editor(preset: str) -> Editor:
    return Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(text=tiny.TEXT, form="raw", preset=preset, micro_batch=4),
    )


@torch.no_grad()
def logits(e: Editor) -> Tensor:
    return e.model(input_ids=IDS).logits


class Reader(Listener):
    """Asks in every pause, and looks whether the model is whole."""

    def __init__(self, e: Editor, version: Version) -> None:
        self.editor = e
        self.version = version
        self.pauses = 0
        self.answers: set[str] = set()
        self.logits: list[Tensor] = []

    def pause(self) -> None:
        self.pauses += 1
        for module in self.editor.model.modules():
            assert "forward" not in module.__dict__
            assert not module._forward_hooks
            assert type(module).__module__.split(".")[0] != "peft"
        if self.pauses % 3 == 0:
            with self.editor.reading(self.version):
                self.logits.append(logits(self.editor))
        if self.pauses % 10 == 1:
            with self.editor.reading(self.version):
                self.answers.add(self.editor.ask(PROMPT, max_new_tokens=4).edited)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_pause_answers_from_its_version_and_leaves_the_turn_its_bits(preset: str) -> None:
    heard, alone = editor(preset), editor(preset)
    for each in (heard, alone):
        each.edit_turn(TURN)
    version = heard.version()
    with heard.reading(version):
        wanted = heard.ask(PROMPT, max_new_tokens=4).edited
        scores = logits(heard)
    reader = heard.listener = Reader(heard, version)
    found, plain = heard.edit_turn(LATER), alone.edit_turn(LATER)
    assert reader.pauses > 3
    assert reader.answers == {wanted}
    assert reader.logits and all(x.equal(scores) for x in reader.logits)
    for w, other in zip(heard.weights, alone.weights, strict=True):
        assert w.parameter.equal(other.parameter) and w.shift.equal(other.shift)
    for a, b in zip(found.receipts, plain.receipts, strict=True):
        assert (a.probability_before, a.probability_after) == (
            b.probability_before,
            b.probability_after,
        )
    kept = heard.statistics.state_dict()
    assert all(x.equal(kept[name]) for name, x in alone.statistics.state_dict().items())


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_pause_raises_ends_the_turn_and_leaves_the_model_as_it_was(preset: str) -> None:
    e = editor(preset)
    e.edit_turn(TURN)
    before = [w.parameter.detach().clone() for w in e.weights]
    state = e.snapshot()

    class Stop(Listener):
        pauses = 0

        def pause(self) -> None:
            self.pauses += 1
            if self.pauses == 4:
                raise KeyboardInterrupt

    e.listener = Stop()
    with pytest.raises(KeyboardInterrupt):
        e.edit_turn(LATER)
    e.listener = Listener()
    assert all(w.parameter.equal(b) for w, b in zip(e.weights, before, strict=True))
    assert all(w.shift.equal(state.shifts[w.name]) for w in e.weights)
    assert (e.turns, e.edits, e.statistics) == (state.turns, state.edits, state.statistics)
    assert not any("forward" in m.__dict__ or m._forward_hooks for m in e.model.modules())
    assert not any(p.requires_grad for p in e.model.parameters())


def test_every_micro_batch_is_followed_by_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader waits longer than one of them."""
    e = editor("default")
    assert isinstance(e.runner, Runner)
    heard: list[str] = []

    class Ear(Listener):
        def pause(self) -> None:
            heard.append("pause")

    def counted(run: Callable[..., Trace]) -> Callable[..., Trace]:
        def traced(*args: Any, **kwargs: Any) -> Trace:
            heard.append("micro-batch")
            return run(*args, **kwargs)

        return traced

    e.listener = Ear()
    monkeypatch.setattr(local, "trace", counted(local.trace))
    e.edit_turn(TURN)
    batches = len(e.runner.batches([e.encoder.pair(r.prompt, r.target) for r in TURN], 4))
    assert batches == 2
    assert heard[0] == "pause"  # behind the trunk
    assert heard.count("micro-batch") >= 2 * batches  # a step at least, and the measure
    for one, following in pairwise([*heard, "the end"]):
        assert one == "pause" or following == "pause"
