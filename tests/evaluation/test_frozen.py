from __future__ import annotations

import pytest
import torch

from ultraedit.errors import DataError
from ultraedit.evaluation.frozen import FrozenScorer
from ultraedit.evaluation.scorer import ModelScorer
from ultraedit.evaluation.text import TokenPair
from ultraedit.model.find import find_structure
from ultraedit.model.stack import Stack

LENGTHS = [(1, 1), (1, 3), (2, 1), (7, 2), (20, 5), (3, 12), (40, 1), (7, 2)]


def pairs(seed=0):
    draw = torch.Generator().manual_seed(seed)

    def ids(n):
        return tuple(torch.randint(2, 300, (n,), generator=draw).tolist())

    return [TokenPair(ids(p), ids(t)) for p, t in LENGTHS]


def scorer(model, first, **settings):
    return FrozenScorer(Stack(model, find_structure(model), first), **settings)


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.target == b.target
        torch.testing.assert_close(a.logprobs, b.logprobs, atol=1e-4, rtol=1e-4)
        assert torch.equal(a.argmax, b.argmax)
        if b.states is not None:
            torch.testing.assert_close(a.states, b.states, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "settings", [{}, {"batch": 2}, {"tokens": 30}, {"limit": 0}, {"limit": 5000}]
)
def test_equals_the_plain_scorer_first_and_later(model, first, settings):
    wanted = ModelScorer(model).score(pairs(), states=True)
    frozen = scorer(model, first, **settings)
    same(frozen.score(pairs(), states=True), wanted)
    same(frozen.score(pairs(), states=True), wanted)
    assert frozen.used <= settings.get("limit", 2**30)
    same(frozen.score(pairs()[::-1][:3]), ModelScorer(model).score(pairs()[::-1][:3]))
    states = wanted[3].states
    torch.testing.assert_close(frozen.logprobs(states), ModelScorer(model).logprobs(states))


@pytest.mark.parametrize("limit", [0, 5000, 2**30])
def test_a_question_asked_twice_is_run_once(model, monkeypatch, limit):
    """Among others that are asked once: a micro-batch of both kinds had no states for some of its rows."""
    frozen = scorer(model, 1, batch=2, limit=limit)
    seen = []
    run = frozen.stack.trunk
    monkeypatch.setattr(
        frozen.stack, "trunk", lambda batch: (seen.extend(batch.lengths), run(batch))[1]
    )
    twice = [*pairs(), *pairs(1), *pairs()[::-1]]
    same(frozen.score(twice), ModelScorer(model).score(twice))
    assert len(seen) == len(pairs()) + len(pairs(1))


def test_sees_edits_above_the_trunk(llama):
    frozen = scorer(llama, 2)
    before = frozen.score(pairs())
    with torch.no_grad():
        llama.model.layers[2].mlp.down_proj.weight.mul_(-1)
    after = frozen.score(pairs())
    assert not torch.allclose(before[3].logprobs, after[3].logprobs)
    same(after, ModelScorer(llama).score(pairs()))


def test_kept_trunk_is_not_computed_again(llama, monkeypatch):
    frozen = scorer(llama, 2)
    frozen.score(pairs())

    def never(*_):
        raise AssertionError("the trunk was run again")

    monkeypatch.setattr(frozen.stack, "trunk", never)
    frozen.score(pairs())
    with pytest.raises(AssertionError, match="run again"):
        frozen.score(pairs(seed=1))


def test_too_long(llama):
    with pytest.raises(DataError, match="more than the model's context of 128"):
        scorer(llama, 1).score([TokenPair((5,) * 127, (6, 7, 8))])


def test_nothing(llama):
    assert scorer(llama, 1).score([]) == []
