"""Streams: lazily read, in constant memory, and no edit ever dropped."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Iterator

import pytest

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.assemble import SupersededWarning
from ultraedit.editing.editor import Editor, WrittenTurn
from ultraedit.errors import DataError
from ultraedit.settings import EditSettings


@pytest.fixture
def editor() -> Editor:
    return Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(step=0.05, steps=1, text_weight=0.0, text=tiny.TEXT),
    )


def endless() -> Iterator[Record]:
    for i in itertools.count():
        yield Record(f"Number {i} is", f"n{i % 10}", id=f"e{i}")


def test_the_last_partial_turn_is_edited(editor: Editor) -> None:
    turns: list[WrittenTurn] = []
    summary = editor.edit_many(
        [Record(*f) for f in tiny.FACTS[:7]], turn_size=3, on_turn=turns.append
    )
    assert [len(t.receipts) for t in turns] == [3, 3, 1]
    assert (summary.edits, summary.turns) == (editor.edits, editor.turns) == (7, 3)
    receipts = [r for t in turns for r in t.receipts]
    assert [r.prompt for r in receipts] == [prompt for prompt, _ in tiny.FACTS[:7]]
    assert [r.turn for r in receipts] == [1, 1, 1, 2, 2, 2, 3]
    assert all(r.probability_after > 0 for r in receipts)
    assert summary.mean_probability_after == pytest.approx(
        sum(r.probability_after for r in receipts) / 7
    )
    tokens = sum(len(" " + target) + 1 for _, target in tiny.FACTS[:7])  # one a byte, and the end
    assert editor.statistics.moments[0].count == tokens


@pytest.mark.parametrize("turn", [1, 2, 7, 8, 100])
def test_as_many_come_out_as_went_in(editor: Editor, turn: int) -> None:
    assert editor.edit_many(tiny.FACTS[:7], turn_size=turn).edits == 7
    assert editor.turns == -(-7 // turn)


def test_superseded_edits_are_counted_too(editor: Editor) -> None:
    facts = [*tiny.FACTS[:4], (tiny.FACTS[1][0], "Lund")]
    with pytest.warns(SupersededWarning):
        summary = editor.edit_many(facts, turn_size=5)
    assert (summary.edits, summary.superseded) == (5, 1)


def test_an_empty_source_is_an_empty_summary(editor: Editor) -> None:
    summary = editor.edit_many([])
    assert (summary.edits, summary.turns, summary.mean_probability_after) == (0, 0, 0)


def test_an_unbounded_source_is_read_turn_by_turn(editor: Editor) -> None:
    read = []

    def source() -> Iterator[Record]:
        for record in endless():
            read.append(record.id)
            yield record

    stream = editor.stream(source(), turn_size=4)
    assert read == []
    for number in (1, 2, 3):
        written = next(stream)
        assert len(written.receipts) == 4
        assert len(read) == 4 * number  # not one record further than the turn needs
    assert editor.edits == 12


def test_a_bad_record_late_in_a_stream_leaves_the_earlier_turns(editor: Editor) -> None:
    facts = [Record(*f) for f in tiny.FACTS[:5]] + [Record("What now?", "", line=6)]
    with pytest.raises(DataError, match="row 6: field `target` is empty"):
        editor.edit_many(facts, turn_size=2)
    assert (editor.edits, editor.turns) == (4, 2)


def test_memory_does_not_grow_with_the_stream(editor: Editor) -> None:
    """Python's own objects by tracemalloc; tensors that are still alive by counting them."""
    import torch

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    stream = editor.stream(endless(), turn_size=20)
    tracemalloc.start()
    try:
        for _ in range(6):  # the interpreter's and torch's own caches settle
            next(stream)
        alive, before = tensors(), tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            next(stream)
        grown = tensors() - alive
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown <= 0
    assert growth < 150_000  # ten turns kept with their receipts would be 300 kB and more
