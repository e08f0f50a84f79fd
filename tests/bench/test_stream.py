from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from ultraedit.bench.schedule import checkpoint_times, parse_checkpoints, parse_rows
from ultraedit.bench.stream import open_stream, source_digest
from ultraedit.errors import ConfigError, DataError
from ultraedit.settings import EditSettings


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def rows(n):
    return [{"prompt": f"lamp {i}", "target": f"t{i}"} for i in range(n)]


@pytest.mark.parametrize(
    ("edits", "turn_size", "count", "times"),
    [
        (2000, 100, 5, (400, 800, 1200, 1600, 2000)),
        (300, 100, 5, (100, 200, 300)),
        (18, 4, 3, (8, 12, 18)),
        (7, 100, 5, (7,)),
        (5, 1, 1, (5,)),
    ],
)
def test_checkpoints_stand_at_ends_of_turns(edits, turn_size, count, times):
    assert checkpoint_times(edits, turn_size, count) == times


def test_checkpoints_can_be_named():
    assert parse_checkpoints("5") == 5
    assert parse_checkpoints("1000, 5000,20000") == (1000, 5000, 20000)
    assert checkpoint_times(18, 4, (4, 12, 18)) == (4, 12, 18)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("many", "write how many, or numbers of edits"),
        ("4,,18", "write how many, or numbers of edits"),
        ("-4", "write how many, or numbers of edits"),
        ("0", "must be at least 1"),
        ("8,4,18", "'8,4,18'; the numbers must rise"),
        ("4,4,18", "the numbers must rise"),
        ("4,12", "the stream has 18 edits; the last must be 18"),
        ("4,10,18", "10 is inside a turn, as --turn-size is 4"),
    ],
)
def test_checkpoints_that_cannot_be(text, why):
    with pytest.raises(ConfigError, match=why):
        checkpoint_times(18, 4, parse_checkpoints(text))


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path, tokenizer):
    data = rows(6)
    data[2] = {"prompt": "", "target": "x"}
    data[4]["prompt"] = "long " * 200
    stream = open_stream(write(tmp_path / "f.jsonl", data), 3, tokenizer, "raw", 128)
    assert [r.target for r in stream.records()] == ["t0", "t1", "t3"]
    assert (stream.edits, stream.rows, stream.unusable, stream.too_long) == (3, 5, 1, 0)
    whole = open_stream(stream.source, None, tokenizer, "raw", 128)
    assert (whole.edits, whole.rows, whole.too_long) == (4, 4, 1)


def test_a_prompt_that_comes_again(tmp_path, tokenizer):
    data = rows(8)
    for i in (1, 3, 6):
        data[i]["prompt"] = "the lamp"
    data[6]["target"] = data[3]["target"]
    stream = open_stream(write(tmp_path / "f.jsonl", data), None, tokenizer, "raw", 128)
    assert stream.superseded == {1}  # 3 says what 6 says
    for order in range(4):
        places = stream.places(order, seed=0)
        assert sorted(places) == list(range(8))
        assert places.index(1) < places.index(3) < places.index(6)
        told = [r.target for r in stream.in_order(places)]
        assert told == [data[i]["target"] for i in places]
        assert [r.target for r in stream.in_order(places, 5)] == told[5:]


def test_a_sample_is_spread_over_the_blocks_and_drawn_by_seed(tmp_path, tokenizer):
    stream = open_stream(write(tmp_path / "f.jsonl", rows(50)), None, tokenizer, "raw", 128)
    times = (4, 30, 50)
    chosen = [i for i, _ in stream.scored(times, 20, seed=0)]
    counts = [sum(lo <= i < hi for i in chosen) for lo, hi in ((0, 4), (4, 30), (30, 50))]
    assert counts == [4, 8, 8]
    assert chosen == [i for i, _ in stream.scored(times, 20, seed=0)]
    assert chosen != [i for i, _ in stream.scored(times, 20, seed=1)]
    assert len(stream.scored(times, 2000, seed=0)) == 50


def test_a_folder_of_shards_is_read_as_far_as_needed(tmp_path, tokenizer):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "shards"
    folder.mkdir()
    for k in range(3):
        pq.write_table(
            pa.Table.from_pylist(rows(30)[10 * k : 10 * k + 10]), folder / f"{k}.parquet"
        )
    stream = open_stream(str(folder), 15, tokenizer, "raw", 128)
    assert [r.target for r in stream.records()] == [f"t{i}" for i in range(15)]
    before = source_digest(str(folder))
    pq.write_table(pa.Table.from_pylist(rows(3)), folder / "2.parquet")
    assert source_digest(str(folder)) != before


def test_nothing_usable(tmp_path, tokenizer):
    path = write(tmp_path / "f.jsonl", [{"prompt": "long " * 200, "target": "x"}])
    with pytest.raises(DataError, match="no record that fits"):
        open_stream(path, None, tokenizer, "raw", 128)


def test_specs():
    made = parse_rows(
        ["default", "paper", "paper:eta=2e-3,modules=a.*+b"],
        EditSettings(step=0.1, modules=["c"]),
        eta=1e-3,
    )
    assert [r.method.step for r in made] == [0.1, 1e-3, 2e-3]
    assert [r.modules for r in made] == [("c",), ("c",), ("a.*", "b")]
    assert parse_rows(["default:end_token=false"])[0].method.end_token is False
    with pytest.raises(ConfigError, match="no preset"):
        parse_rows([])
