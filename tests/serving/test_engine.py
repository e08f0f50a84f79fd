"""Rows that are generated together say what each says alone, and each from its own version."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tiny
from serving import served
from ultraedit.data.record import Record
from ultraedit.model import keeps
from ultraedit.model.generate import greedy_ids
from ultraedit.model.keeps import Kept
from ultraedit.serving.asks import Ask, Ended, Event, Failed, Piece, Scored, Started, Wish
from ultraedit.serving.engine import Engine
from ultraedit.serving.refusals import Refusal
from ultraedit.serving.versions import Versions
from ultraedit.workspace.version import version_name
from ultraedit.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with served.make(tmp_path) as made:
        yield made


class Asker:
    """An engine on the calling thread."""

    def __init__(self, model, tokenizer, versions: Versions, rows: int = 4, waiting: int = 99):
        self.engine = Engine(model, tokenizer, versions, rows=rows, waiting=waiting)

    def ask(self, *prompts: list[int], turn: int | None = None, **wish) -> tuple[Ask, list[Event]]:
        heard: list[Event] = []
        wishes = [Wish(**({"max_tokens": 12, "temperature": 0} | wish)) for _ in prompts]
        ask = Ask(list(prompts), wishes, turn, heard.append)
        self.engine.submit(ask)
        return ask, heard

    def finish(self) -> int:
        steps = 0
        while self.engine.busy:
            self.engine.step()
            steps += 1
            assert steps < 2000
        return steps


def asker(workspace: Workspace, rows: int = 4, versions: int = 4, waiting: int = 99) -> Asker:
    editor = workspace.editor
    return Asker(editor.model, editor.tokenizer, Versions(workspace, versions), rows, waiting)


def tokens(heard: list[Event], choice: int = 0) -> list[int]:
    return [t for e in heard if isinstance(e, Piece) and e.choice == choice for t in e.tokens]


def text(heard: list[Event], choice: int = 0) -> str:
    return "".join(e.text for e in heard if isinstance(e, Piece) and e.choice == choice)


def prompts(workspace: Workspace, count: int = len(tiny.FACTS)) -> list[list[int]]:
    return [workspace.editor.encoder.prompt(p) for p, _ in tiny.FACTS[:count]]


class Fixed:
    """Versions of a model that nobody edits."""

    def __init__(self) -> None:
        from ultraedit.model.overlay import Version as Weights
        from ultraedit.serving.versions import Version

        self.head = Version(0, "t0-0", Weights(()))

    def pin(self, turn: int | None):
        return self.head

    def unpin(self, version) -> None:
        pass

    def reading(self, version):
        from contextlib import nullcontext

        return nullcontext()


@pytest.mark.parametrize("family", tiny.FAMILIES)
@torch.no_grad()
def test_rows_of_any_length_say_what_each_says_alone(family: str) -> None:
    """In fp32, token by token: prompts of 1 to 60 tokens that come, go and wait in any order."""
    model, tokenizer = tiny.family(family), tiny.tokenizer()
    dice = random.Random(3)
    some = [[dice.randrange(3, 250) for _ in range(dice.randrange(1, 60))] for _ in range(11)]
    lengths = [dice.randrange(1, 40) for _ in some]
    asker = Asker(model, tokenizer, Fixed())  # type: ignore[arg-type]
    heard = []
    for ids, length in zip(some, lengths, strict=True):
        heard.append(asker.ask(ids, max_tokens=length)[1])
        for _ in range(dice.randrange(3)):
            asker.engine.step()
    asker.finish()
    stop = frozenset({2})
    for ids, length, events in zip(some, lengths, heard, strict=True):
        alone = greedy_ids(model, [ids], length, stop)[0]
        assert tokens(events) == alone
        assert isinstance(events[0], Started) and isinstance(events[-1], Ended)
        assert events[-1].why == ("length" if len(alone) == length else "stop")


@pytest.mark.parametrize("kept", ["other", "nothing"])
def test_families_that_keep_something_else_are_run_row_by_row(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = tiny.llama(), tiny.tokenizer()
    monkeypatch.setitem(keeps._known, model, kept)
    asker = Asker(model, tokenizer, Fixed())  # type: ignore[arg-type]
    some = [tokenizer(p)["input_ids"] for p, _ in tiny.FACTS[:5]]
    heard = [asker.ask(ids, max_tokens=5 + i)[1] for i, ids in enumerate(some)]
    asker.finish()
    for i, (ids, events) in enumerate(zip(some, heard, strict=True)):
        assert tokens(events) == greedy_ids(model, [ids], 5 + i, frozenset({2}))[0]


def test_long_prompts_are_run_in_chunks_beside_others(workspace: Workspace) -> None:
    asking = asker(workspace)
    short = prompts(workspace, 1)[0]
    _, first = asking.ask(short, max_tokens=60)
    asking.engine.step()
    long = [3 + i % 200 for i in range(140)]
    _, second = asking.ask(long, max_tokens=5)
    asking.engine.step()
    said = len(tokens(first))
    assert not tokens(second)  # 128 of its 140 tokens were run
    asking.engine.step()
    assert len(tokens(first)) > said and tokens(second)
    asking.finish()
    model = workspace.editor.model
    assert tokens(second) == greedy_ids(model, [long], 5, frozenset({2}))[0]


def test_a_request_keeps_its_version_whatever_is_edited(workspace: Workspace) -> None:
    records = [Record(p, t) for p, t in tiny.FACTS]
    asking = asker(workspace, rows=8, versions=8)
    versions = asking.engine.versions
    ids = prompts(workspace, 1)[0]
    heard = []
    for turn in range(4):
        heard.append(asking.ask(ids, max_tokens=30)[1])
        asking.engine.step()
        asking.engine.step()
        workspace.edit_turn(records[turn * 3 : turn * 3 + 3])
        versions.moved()
    asking.finish()
    for turn, events in enumerate(heard):
        assert events[0] == Started(turn, version_name(workspace.store, turn))
        with workspace.at(turn):
            alone = greedy_ids(workspace.editor.model, [ids], 30, frozenset({2}))[0]
        assert tokens(events) == alone
    assert len({tuple(tokens(events)) for events in heard}) > 1  # the edits did change the answer
    assert all(version.pins == 0 for version in versions.live)


def test_requests_are_answered_inside_a_turn(workspace: Workspace) -> None:
    """Between the micro-batches of a turn, from the version that they began with, and newcomers from the old head."""
    from ultraedit.model.runner.listener import Listener

    asking = asker(workspace, rows=8)
    some = prompts(workspace, 3)
    stop = frozenset({2})
    alone = [greedy_ids(workspace.editor.model, [ids], 30, stop)[0] for ids in some]
    _, first = asking.ask(some[0], max_tokens=30)
    asking.engine.step()
    late: list[list[Event]] = []

    class Pauses(Listener):
        count = 0

        def pause(self) -> None:
            if not Pauses.count:
                late.append(asking.ask(some[1], max_tokens=30)[1])
            Pauses.count += 1
            asking.engine.step()

    workspace.editor.listener = Pauses()
    untouched = workspace.editor.snapshot()
    workspace.edit_turn([Record(p, t) for p, t in tiny.FACTS[:6]])
    during = len(tokens(first))
    assert Pauses.count >= 3 and during > 2 and tokens(late[0])
    asking.engine.versions.moved()
    _, after = asking.ask(some[2], max_tokens=30)
    asking.finish()
    assert tokens(first) == alone[0] and tokens(late[0]) == alone[1]
    assert after[0] == Started(1, version_name(workspace.store, 1))
    shifts = {name: shift.clone() for name, shift in workspace.editor.snapshot().shifts.items()}
    workspace.editor.restore(untouched)
    workspace.editor.listener = Listener()
    workspace.editor.edit_turn([Record(p, t) for p, t in tiny.FACTS[:6]])
    again = workspace.editor.snapshot().shifts
    assert all(
        again[name].equal(shift) for name, shift in shifts.items()
    )  # the turn was not disturbed


def test_versions_from_disk_are_those_that_were_live(workspace: Workspace) -> None:
    records = [Record(p, t) for p, t in tiny.FACTS]
    for turn in range(3):
        workspace.edit_turn(records[turn * 3 : turn * 3 + 3])
    live = [w.parameter.data.clone() for w in workspace.editor.weights]
    versions = Versions(workspace, 4)
    workspace.edit_turn(records[9:12])
    versions.moved()
    again = Versions(workspace, 4).pin(3)
    assert all(a.equal(b) for a, b in zip(live, again.weights.weights, strict=True))
    asked = {"input_ids": torch.tensor([prompts(workspace, 1)[0]])}
    with torch.no_grad(), workspace.at(3):
        past = workspace.editor.model(**asked).logits
    with torch.no_grad(), versions.reading(again):
        assert workspace.editor.model(**asked).logits.equal(past)
    with torch.no_grad():
        assert not workspace.editor.model(**asked).logits.equal(past)


def test_versions_in_memory_are_bounded(workspace: Workspace) -> None:
    for turn in range(4):
        workspace.edit_turn([Record(p, t) for p, t in tiny.FACTS[turn : turn + 1]])
    asking = asker(workspace, versions=2)
    versions = asking.engine.versions
    ids = prompts(workspace, 1)[0]
    _, first = asking.ask(ids, turn=1, max_tokens=20)
    asking.engine.step()
    _, second = asking.ask(ids, turn=2)
    asking.engine.step()
    assert isinstance(second[0], Failed) and second[0].status == 503 and second[0].retry_after
    asking.finish()
    assert isinstance(first[-1], Ended)
    _, third = asking.ask(ids, turn=2)  # nobody reads turn 1 any more, so that it can go
    _, base = asking.ask(ids, turn=0)
    asking.finish()
    assert isinstance(third[-1], Ended) and isinstance(base[-1], Ended)
    assert [version.turn for version in versions.live] == [0, 4, 2]


def test_draws_depend_on_the_seed_alone(workspace: Workspace) -> None:
    asking = asker(workspace, rows=6)
    some = prompts(workspace, 6)
    wish = {"temperature": 1.3, "top_p": 0.9, "max_tokens": 15}
    _, alone = asking.ask(some[0], seed=7, **wish)
    asking.finish()
    beside = [asking.ask(ids, seed=7 + i, **wish)[1] for i, ids in enumerate(some)]
    asking.finish()
    assert tokens(beside[0]) == tokens(alone)
    _, other = asking.ask(some[0], seed=8, **wish)
    asking.finish()
    assert tokens(other) != tokens(alone)


def test_a_tiny_temperature_is_greedy_and_top_p_cuts(workspace: Workspace) -> None:
    asking = asker(workspace)
    ids = prompts(workspace, 1)[0]
    found = [
        asking.ask(ids, **wish)[1]
        for wish in (
            {"temperature": 0},
            {"temperature": 1e-9, "seed": 1},
            {"temperature": 2.0, "top_p": 1e-9, "seed": 1},
        )
    ]
    asking.finish()
    assert tokens(found[0]) == tokens(found[1]) == tokens(found[2])


def test_stop_texts_end_an_answer(workspace: Workspace) -> None:
    asking = asker(workspace)
    ids = prompts(workspace, 1)[0]
    _, whole = asking.ask(ids, max_tokens=20)
    asking.finish()
    said = text(whole)
    stop = said[6:9]
    _, cut = asking.ask(ids, max_tokens=20, stops=(stop,))
    asking.finish()
    assert text(cut) == said[: said.index(stop)]
    assert isinstance(cut[-1], Ended) and cut[-1].why == "stop"


def test_likelihoods_are_those_of_one_forward(workspace: Workspace) -> None:
    asking = asker(workspace)
    some = prompts(workspace, 3)
    heard = [asking.ask(ids, logprobs=2, score_prompt=True, max_tokens=6)[1] for ids in some]
    asking.finish()
    for ids, events in zip(some, heard, strict=True):
        scored = next(e for e in events if isinstance(e, Scored))
        likely = [one for e in events if isinstance(e, Piece) for one in e.likelihoods]
        said = [one.token for one in likely]
        with torch.no_grad():
            logits = workspace.editor.model(torch.tensor([ids + said])).logits[0]
        log_probs = torch.log_softmax(logits.float(), -1)
        found = [*scored.tokens, *likely]
        assert [one.token for one in found] == (ids + said)[1:]
        for at, one in enumerate(found):
            assert one.logprob == pytest.approx(float(log_probs[at, one.token]), abs=2e-4)
            top = log_probs[at].topk(2)
            assert [t for t, _ in one.top] == top.indices.tolist()


def test_a_cancelled_request_frees_its_rows(workspace: Workspace) -> None:
    asking = asker(workspace, rows=1)
    some = prompts(workspace, 3)
    first, heard = asking.ask(some[0], max_tokens=100)
    _, second = asking.ask(some[1], max_tokens=3)
    third, never = asking.ask(some[2])
    asking.engine.step()
    asking.engine.step()
    assert tokens(heard) and not second
    first.cancel()
    third.cancel()
    asking.finish()
    assert isinstance(second[-1], Ended)
    assert len(tokens(heard)) < 100 and never == []
    assert all(version.pins == 0 for version in asking.engine.versions.live)


def test_a_full_queue_refuses(workspace: Workspace) -> None:
    asking = asker(workspace, waiting=2)
    ids = prompts(workspace, 1)[0]
    asking.ask(ids)
    asking.ask(ids)
    with pytest.raises(Refusal) as refused:
        asking.ask(ids)
    assert refused.value.status == 429 and refused.value.headers()["Retry-After"]
    asking.finish()
    asking.ask(ids)
    asking.finish()


def test_what_breaks_in_one_batch_ends_its_own_requests(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.edit_turn([Record(*tiny.FACTS[0])])
    asking = asker(workspace)
    ids = prompts(workspace, 1)[0]
    _, good = asking.ask(ids, max_tokens=20)
    asking.engine.step()
    _, bad = asking.ask(ids, turn=0, max_tokens=20)
    asking.engine.step()
    from ultraedit.serving.batch import Batch

    usual = Batch.run_token

    def broken(batch: Batch) -> None:
        if batch.version.turn == 0:
            raise RuntimeError("no memory")
        usual(batch)

    monkeypatch.setattr(Batch, "run_token", broken)
    asking.finish()
    assert (
        isinstance(bad[-1], Failed) and bad[-1].status == 500 and "no memory" not in bad[-1].message
    )
    assert isinstance(good[-1], Ended) and good[-1].tokens == 20


def test_closing_ends_everything(workspace: Workspace) -> None:
    asking = asker(workspace, rows=1)
    some = prompts(workspace, 2)
    heard = [asking.ask(ids)[1] for ids in some]
    asking.engine.step()
    asking.engine.close()
    assert all(isinstance(events[-1], Failed) for events in heard)
    with pytest.raises(Refusal):
        asking.ask(some[0])
