"""A whole build from a small graph: gates, splits, probes, kinds, same bytes, resuming."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests_graph import Silent, load, make, people, triples, write_jsonl, write_tsv
from ultraedit.errors import ConfigError, DataError
from ultraeditbench import BuildConfig, BuildResult, build, pipeline
from ultraeditbench.phrases import holds
from ultraeditbench.relations import templates


def digest(out: Path) -> str:
    parts = [
        p.relative_to(out).as_posix().encode() + p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file()
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tsv(tmp_path_factory.mktemp("graph") / "graph.tsv")


TRUTH = {(s, r): o for s, r, o in triples()}


@pytest.fixture(scope="module", params=["new", "counterfact", "update"])
def made(request: pytest.FixtureRequest, graph: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("made") / request.param
    return request.param, make(out, graph, kind=request.param, published_json=True), load(out)


def test_records_pass_every_gate(made: tuple[str, BuildResult, list[dict[str, Any]]]) -> None:
    kind, result, records = made
    assert len(records) == result.records > 20
    assert len({(r["subject"], r["relation"]) for r in records}) == len(records)
    assert len({r["id"] for r in records}) == len(records)
    for r in records:
        for prompt in (r["prompt"], r["rephrase_prompt"], *r["rephrases"], *r["personas"]):
            assert r["subject"] in prompt
            assert not holds(prompt, r["ans"])
            assert r["old"] is None or not holds(prompt, r["old"])
        assert len({r["prompt"], r["rephrase_prompt"], *r["rephrases"]}) == 2 + len(r["rephrases"])
        assert r["prompt"].endswith("?")
        assert (r["loc"], r["loc_ans"]) == (r["locality"][0]["prompt"], r["locality"][0]["answer"])
        true = TRUTH[r["subject"], r["relation"]]
        if kind == "new":
            assert (r["ans"], r["old"]) == (true, None)
        else:
            assert r["old"] == true != r["ans"]
            assert r["ans"] in {
                o for (_, relation), o in TRUTH.items() if relation == r["relation"]
            }
        if kind == "update":
            assert templates()[0][r["relation"]].mutable


def test_splits_share_no_subject(made: tuple[str, BuildResult, list[dict[str, Any]]]) -> None:
    _, result, records = made
    by_split = {
        split: {r["subject"] for r in records if r["split"] == split}
        for split in ("train", "dev", "eval")
    }
    assert sum(len(group) for group in by_split.values()) == len({r["subject"] for r in records})
    assert {
        split: len([r for r in records if r["split"] == split]) for split in by_split
    } == result.splits
    assert all(by_split.values())


def test_probes_are_true_and_never_edited(
    made: tuple[str, BuildResult, list[dict[str, Any]]],
) -> None:
    _, _, records = made
    edited = {(r["subject"], r["relation"]) for r in records}
    kinds = set()
    for r in records:
        for probe in r["locality"]:
            kinds.add(probe["kind"])
            about = [
                (s, p)
                for (s, p), o in TRUTH.items()
                if s in probe["prompt"] and o == probe["answer"]
            ]
            assert about, probe
            assert all(key not in edited or key[0] != r["subject"] for key in about)
            if probe["kind"] == "same_subject":
                assert r["subject"] in probe["prompt"]
            else:
                assert r["subject"] not in probe["prompt"]
            if probe["kind"] == "same_relation":
                assert {r["relation"]} & {p for _, p in about}
                assert probe["answer"] not in (r["ans"], r["old"])
    assert kinds == {"unrelated", "same_relation", "same_subject"}


def test_two_hop_questions_follow_the_target(
    made: tuple[str, BuildResult, list[dict[str, Any]]],
) -> None:
    kind, _, records = made
    hops = [(r, hop) for r in records for hop in r["portability"]]
    assert hops or kind == "update"
    for r, hop in hops:
        assert r["subject"] in hop["prompt"]
        assert hop["answer"] in {o for (s, _), o in TRUTH.items() if s == r["ans"]}
        assert not holds(hop["prompt"], r["ans"])


def test_published_form(made: tuple[str, BuildResult, list[dict[str, Any]]]) -> None:
    _, result, records = made
    lists = {
        split: json.loads((result.out / f"{split}.json").read_text(encoding="utf-8"))
        for split in result.splits
    }
    assert sum(len(rows) for rows in lists.values()) == len(records)
    first = lists["train"][0]
    assert list(first) == ["prompt", "rephrase_prompt", "ans", "loc", "loc_ans", "subject"]
    same = next(r for r in records if r["prompt"] == first["prompt"])
    assert {name: same[name] for name in first} == first


def test_the_readers_read_all_of_it(made: tuple[str, BuildResult, list[dict[str, Any]]]) -> None:
    from ultraedit.data.read import read_records

    _, result, records = made
    found = {record.id: record for record in read_records(str(result.out / "data"))}
    assert len(found) == len(records)
    for r in records:
        record = found[r["id"]]
        assert (record.prompt, record.target, record.old) == (r["prompt"], r["ans"], r["old"])
        assert record.rephrases == (r["rephrase_prompt"], *r["rephrases"])
        assert record.personas == tuple(r["personas"])
        kinds = [(p.prompt, p.answer, p.kind) for p in (*record.locality, *record.portability)]
        wanted = [(p["prompt"], p["answer"], p["kind"]) for p in r["locality"] + r["portability"]]
        assert kinds == wanted


def test_the_card_counts_what_was_dropped(
    made: tuple[str, BuildResult, list[dict[str, Any]]],
) -> None:
    _, result, _ = made
    card = (result.out / "README.md").read_text(encoding="utf-8")
    assert f"{result.records:,} edits" in card
    for name, n in result.counts.items():
        if name != "triples read" and not name.startswith("facts"):
            assert f"| {name} | {n:,} |" in card
    assert f"| triples read | {result.counts['triples read']:,} |" not in card
    assert "50. **" in card or f"{result.records}. **" in card


def test_the_same_seed_gives_the_same_bytes(graph: Path, tmp_path: Path) -> None:
    kind = "counterfact"
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    make(first, graph, kind=kind, seed=3, conflicts=0.5, published_json=True)
    config = BuildConfig(
        (graph,), second, dev=0.2, eval=0.2, kind=kind, seed=3, conflicts=0.5,
        memory="300MB", threads=2,
        published_json=True,
    )  # fmt: skip
    build(config, Silent())
    make(other, graph, kind=kind, seed=4, conflicts=0.5, published_json=True)
    assert digest(first) == digest(second)
    assert digest(first) != digest(other)
    # the split of a subject does not depend on the seed
    splits = {r["subject"]: r["split"] for r in load(first)}
    assert all(splits.get(r["subject"], r["split"]) == r["split"] for r in load(other))


def test_conflicts_come_later_and_contradict(graph: Path, tmp_path: Path) -> None:
    make(tmp_path / "out", graph, conflicts=1.0, size=60)
    records = load(tmp_path / "out")
    first = {r["id"]: r for r in records if r["conflicts_with"] is None}
    second = [r for r in records if r["conflicts_with"]]
    assert len(second) > 20
    assert len(records) <= 60
    for r in second:
        before = first[r["conflicts_with"]]
        assert (r["subject"], r["relation"], r["old"]) == (
            before["subject"],
            before["relation"],
            before["ans"],
        )
        assert r["ans"] != before["ans"]


def test_an_update_follows_the_dates(tmp_path: Path) -> None:
    extra = [
        {"subject": f"Body {n}", "relation": "P488", "object": o, "start": start}
        for n in range(60)
        for o, start in (
            (people()[n], "2001"),
            (people()[n + 1], "2010"),
            (people()[n + 2], "2005"),
        )
    ]
    plain = [{"subject": s, "relation": r, "object": o, "start": ""} for s, r, o in triples()]
    make(tmp_path / "out", write_jsonl(tmp_path / "g.jsonl", [*extra, *plain]), kind="update")
    records = [r for r in load(tmp_path / "out") if r["relation"] == "P488"]
    assert len(records) > 20
    for r in records:
        n = int(r["subject"].split()[1])
        assert (r["ans"], r["old"]) == (people()[n + 1], people()[n + 2])


@pytest.mark.parametrize("size", [70, 2_000_000])
def test_two_processes_write_the_same_bytes(
    graph: Path, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ultraeditbench.write.CHUNK", 40)
    one, two = tmp_path / "one", tmp_path / "two"
    made = make(one, graph, conflicts=0.5, size=size)
    assert len(list(one.glob("data/train-*.parquet"))) > 2
    config = BuildConfig(
        (graph,), two, dev=0.2, eval=0.2, memory="300MB", threads=2, conflicts=0.5, size=size
    )
    seen: list[int] = []

    class Counting(Silent):
        def records(self, done: int, total: int) -> None:
            seen.append(done)

    build(config, Counting())
    assert digest(one) == digest(two)
    assert sum(seen) == made.records


def test_an_error_in_a_writing_process_ends_the_build(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ultraeditbench.write.CHUNK", 40)
    # a file where a shard should go
    (tmp_path / "out").mkdir()
    config = BuildConfig((graph,), tmp_path / "out", dev=0.2, eval=0.2, memory="300MB", threads=2)

    class Blocking(Silent):
        def stage(self, text: str) -> None:
            if text == "writing records":
                (config.out / "data" / "train-00001.parquet.tmp").mkdir(parents=True)

    with pytest.raises(IsADirectoryError):
        build(config, Blocking())
    assert not (config.out / "README.md").exists()
    (config.out / "data" / "train-00001.parquet.tmp").rmdir()
    build(config, Silent())
    assert (config.out / "README.md").exists()


@pytest.mark.parametrize("stop", ["identify", "write"])
def test_a_stopped_build_goes_on(
    graph: Path, tmp_path: Path, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    monkeypatch.setattr("ultraeditbench.write.CHUNK", 40)
    make(whole, graph)

    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if stop == "identify":
            patch.setattr(pipeline.gates, "gate", kill)
        else:
            from ultraeditbench.tally import Tally

            add, added = Tally.add, []

            def fail_late(self: Tally, record: dict[str, Any]) -> None:
                if len(added) == 60:
                    raise Killed
                added.append(record["id"])
                add(self, record)

            patch.setattr(Tally, "add", fail_late)
        with pytest.raises(Killed):
            make(broken, graph)
    assert not (broken / "README.md").exists()
    assert not list(broken.rglob("*.tmp"))
    make(broken, graph)
    assert digest(whole) == digest(broken)


def test_other_settings_do_not_resume(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(pipeline, "write_shards", lambda *_: (_ for _ in ()).throw(RuntimeError))
        make(out, graph)
    with pytest.raises(DataError, match="other settings"):
        make(out, graph, seed=9)


def test_a_finished_set_is_not_overwritten(graph: Path, tmp_path: Path) -> None:
    make(tmp_path / "out", graph)
    with pytest.raises(DataError, match="not empty"):
        make(tmp_path / "out", graph)


def test_nothing_to_write_says_why(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "g.tsv", [("Ada Quill", "P1889", "Ida Quill")])
    with pytest.raises(DataError, match="relation is not asked"):
        make(tmp_path / "out", path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "old"}, "'old'"),
        ({"size": 0}, "--size 0"),
        ({"conflicts": 2.0}, "--conflicts 2.0"),
        ({"rewrite": "http://127.0.0.1:1/v1"}, "--rewrite-model"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BuildConfig((tmp_path / "x",), tmp_path / "out", **settings)
    with pytest.raises(ConfigError, match="--dev"):
        BuildConfig((tmp_path / "x",), tmp_path / "out", dev=0.6, eval=0.4)
