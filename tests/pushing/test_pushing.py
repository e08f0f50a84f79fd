"""`ultraedit push` against servers that keep to the contracts of vLLM, SGLang and llama.cpp."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import tiny
from ultraedit.errors import ServerError
from ultraedit.pushing import Wanted, look
from ultraedit.pushing.endpoint import Endpoint
from ultraedit.pushing.folders import Place
from ultraedit.pushing.ledger import LEDGER, Ledger
from ultraedit.workspace.workspace import Workspace

from .conftest import Push, Up
from .fake import LlamaCpp, Sglang, Vllm

VERSION = re.compile(r"ws-t2-[0-9a-f]{12}-r\d+")


def one_line(err: str) -> str:
    """The error of a run: one sentence, no traceback."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def folders(place: Path) -> list[str]:
    made = place / "ws-pushed"
    return sorted(path.name for path in made.iterdir()) if made.exists() else []


def said(server: Any, **more: Any) -> str:
    """What a server answers to anybody who asks about the newest edit."""
    prompt, _ = tiny.FACTS[7]
    ids = server.engine.tokenizer(f"user:{prompt}\nassistant:", add_special_tokens=False)
    body = {"prompt": list(ids["input_ids"]), "max_tokens": 8}
    status, found = server.route("POST", "/v1/completions", {}, body | more)
    assert status == 200, found
    return found["choices"][0]["text"]


# -- adapters by name ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_a_version_gets_a_folder_and_a_name_of_its_own(
    kind: Any, up: Up, push: Push, place: Path
) -> None:
    server = up(kind)
    done = push(server, "--json")
    assert done.code == 0, done.err
    (name,) = server.names
    assert VERSION.fullmatch(name)
    assert folders(place) == [name]
    assert server.names[name] == str(place / "ws-pushed" / name)
    found = json.loads(done.out)
    assert found["name"] == name and found["turn"] == 2
    assert {g: (a["asked"], a["agreed"]) for g, a in found["answers"].items()} == {
        "recent": (4, 4),
        "old": (4, 4),
        "unrelated": (1, 1),
    }
    assert all(a["apart"] < 0.01 for a in found["answers"].values())
    (row,) = Ledger(place / "ws").rows()
    assert (row.name, row.turn, row.url) == (name, 2, server.url)


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_the_same_version_again_is_neither_written_nor_loaded_again(
    kind: Any, up: Up, push: Push, place: Path
) -> None:
    server = up(kind)
    push(server)
    (name,) = server.names
    before = (place / "ws-pushed" / name / "adapter_model.safetensors").stat().st_mtime_ns
    loads = sum("load_lora" in one for one in server.changes())
    assert push(server).code == 0
    assert folders(place) == [name]
    again = (place / "ws-pushed" / name / "adapter_model.safetensors").stat().st_mtime_ns
    assert again == before
    asked = [one for one in server.changes() if one.endswith("/load_lora_adapter")]
    # vLLM is asked with an empty body, and with a folder that is not there, what it was started with
    assert len(asked) == loads + (2 if kind is Vllm else 0)


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_a_fixed_name_moves_to_the_new_version_and_back(kind: Any, up: Up, push: Push) -> None:
    server = up(kind)
    assert push(server, "--as", "live", "--at", "first").code == 0
    first = server.names["live"]
    assert push(server, "--as", "live").code == 0
    assert server.names["live"] != first
    assert push(server, "--as", "live", "--at", "first").code == 0
    assert server.names["live"] == first


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_a_fixed_name_stays_where_the_new_version_answers_wrongly(
    kind: Any, up: Up, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(kind)
    assert push(server, "--as", "live", "--at", "first").code == 0
    before = dict(server.names)
    real = server.completion

    def wrong_under_its_fixed_name(body: Any, *rest: Any) -> Any:
        server.lies = "live" in (body.get("lora_path"), body["model"])
        return real(body, *rest)

    monkeypatch.setattr(server, "completion", wrong_under_its_fixed_name)
    done = push(server, "--as", "live")
    assert done.code == 2
    assert '"live" does not answer as the workspace does' in one_line(done.err)
    assert server.names == before


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_wrong_answers_are_taken_back(
    kind: Any, up: Up, push: Push, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(kind)
    real = server.completion

    def deaf(body: Any, adapters: dict[str, float]) -> Any:
        return real(body, {})  # the adapter is listed, and does nothing

    monkeypatch.setattr(server, "completion", deaf)
    done = push(server)
    assert done.code == 2
    error = one_line(done.err)
    assert "does not answer as the workspace does: 0 of 4 recent" in error
    assert "answers as it did before" in error
    assert server.names == {}
    assert not list(Ledger(place / "ws").rows())


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_another_base_is_found_before_anything_changes(
    kind: Any, up: Up, push: Push, place: Path
) -> None:
    server = up(kind, other=True)
    done = push(server)
    assert done.code == 2
    assert "is not the model that the workspace was made from" in one_line(done.err)
    assert not folders(place)
    assert server.names == {}


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_the_network_lost_while_it_loads_leaves_the_former_version(
    kind: Any, up: Up, push: Push
) -> None:
    server = up(kind)
    assert push(server, "--at", "first").code == 0
    before = dict(server.names)
    path = "/v1/load_lora_adapter" if kind is Vllm else "/load_lora_adapter"
    server.lose[path] = 2 if kind is Vllm else 0
    done = push(server)
    assert done.code == 2
    assert "does not answer" in one_line(done.err)
    assert server.names == before


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_the_network_lost_among_the_questions_says_what_may_be_left(
    kind: Any, up: Up, push: Push
) -> None:
    server = up(kind)
    assert push(server, "--as", "live", "--at", "first").code == 0
    before = server.names["live"]
    server.lose["/v1/completions"] = 3
    done = push(server, "--as", "live")
    assert done.code == 2
    error = one_line(done.err)
    assert "could not be brought back" in error
    assert "--at" in error
    assert server.names["live"] == before


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_versions_beyond_keep_are_forgotten_and_removed(
    kind: Any, up: Up, push: Push, place: Path
) -> None:
    server = up(kind)
    assert push(server, "--at", "first").code == 0
    assert len(folders(place)) == 1
    done = push(server, "--keep", "1")
    assert done.code == 0
    (name,) = server.names
    assert VERSION.fullmatch(name)
    assert folders(place) == [name]
    assert "removed: " in done.out


def test_a_version_that_a_fixed_name_or_another_server_has_stays(
    up: Up, push: Push, place: Path
) -> None:
    server, other = up(Vllm), up(Sglang)
    assert push(server, "--as", "live", "--at", "first").code == 0
    assert push(server, "--keep", "1").code == 0
    assert len(folders(place)) == 2  # "live" answers from the older one
    assert push(other, "--at", "first", "--keep", "1").code == 0
    assert push(other, "--keep", "1").code == 0
    assert len(folders(place)) == 2
    assert list(other.names) == [name for name in server.names if "-t2-" in name]


def test_a_folder_that_is_no_version_is_never_removed(up: Up, push: Push, place: Path) -> None:
    server = up(Vllm)
    assert push(server, "--at", "first").code == 0
    precious = place / "ws-pushed" / "thesis"
    precious.mkdir()
    ledger = place / "ws" / LEDGER
    row = json.loads(ledger.read_text()) | {"folder": str(precious), "name": "thesis"}
    ledger.write_text(json.dumps(row) + "\n")
    assert push(server, "--keep", "1").code == 0
    assert precious.is_dir()


# -- what a server lacks ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "flags", "options", "lack"),
    [
        (Vllm, {"runtime": False}, [], "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        (Vllm, {"lora": False}, [], "--enable-lora --max-lora-rank"),
        (Vllm, {"lora": False, "dev": True}, [], "--enable-lora --max-lora-rank"),
        (Vllm, {}, ["--how", "weights"], "VLLM_SERVER_DEV_MODE=1"),
        (Vllm, {"dev": True, "quantization": "fp8"}, ["--how", "weights"], "not quantised"),
        (Sglang, {"lora": False}, [], "--enable-lora"),
        (Sglang, {"quantization": "awq"}, ["--how", "weights"], "not quantised"),
    ],
)
def test_flags_that_are_missing_are_told_beforehand(
    kind: Any, flags: dict[str, Any], options: list[str], lack: str, up: Up, push: Push, place: Path
) -> None:
    server = up(kind, **flags)
    for more, code in (([], 2), (["--dry-run"], 1)):
        done = push(server, *options, *more)
        assert done.code == code
        assert lack in (one_line(done.err) if code == 2 else done.out)
    assert not folders(place)
    assert not (place / "ws" / LEDGER).exists()


@pytest.mark.parametrize("flags", [{"dev": True}, {}])
def test_a_rank_that_the_server_does_not_take_costs_edits(
    flags: dict[str, Any], up: Up, push: Push, place: Path
) -> None:
    """It says so in development mode, or when it refuses."""
    server = up(Vllm, most=1, **flags)
    done = push(server)
    assert done.code == 2
    error = one_line(done.err)
    assert "at rank 1 the adapter keeps" in error
    assert "start the server with --max-lora-rank" in error
    assert server.names == {}


def test_a_dry_run_says_what_each_rank_costs_and_changes_nothing(
    up: Up, push: Push, place: Path
) -> None:
    server = up(Vllm, dev=True, most=8)
    done = push(server, "--dry-run")
    assert done.code == 0
    assert "vLLM 0.33.0 serves" in done.out
    assert "it takes rank 8 at most" in done.out
    kept = {int(r): float(k) for r, k in re.findall(r"rank (\d+) keeps ([\d.]+)%", done.out)}
    assert list(kept) == [1, 8, 16, 32]
    assert list(kept.values()) == sorted(kept.values())
    assert kept[32] == 100
    assert "rank 16 keeps" in done.out and "(more than it takes)" in done.out
    assert server.changes() == ["POST /v1/load_lora_adapter"]  # with an empty body: is it there?
    assert not folders(place)
    assert not (place / "ws" / LEDGER).exists()


def test_a_dry_run_tells_another_base(up: Up, push: Push) -> None:
    done = push(up(Sglang, other=True), "--dry-run")
    assert done.code == 1
    assert "it is another model" in done.out


# -- whole weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_whole_weights_are_exact_and_go_back_by_a_mark(
    kind: Any, up: Up, push: Push, place: Path
) -> None:
    server = up(kind, dev=True) if kind is Vllm else up(kind)
    before = said(server, model="tiny")
    assert push(server, "--how", "weights").code == 0
    edited = said(server, model="tiny")
    assert server.version.startswith("ws-t2-")
    assert push(server, "--how", "weights", "--at", "base").code == 0
    assert said(server, model="tiny") == before != edited
    assert len(folders(place)) == 2


@pytest.mark.parametrize("kind", [Vllm, Sglang])
def test_wrong_weights_are_taken_back_to_the_version_before(
    kind: Any, up: Up, push: Push, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(kind, dev=True) if kind is Vllm else up(kind)
    assert push(server, "--how", "weights", "--at", "first").code == 0
    before, version = said(server, model="tiny"), server.version
    read = server.engine.read_weights
    other = place / "other"
    up(kind, other=True)
    monkeypatch.setattr(
        server.engine, "read_weights", lambda f: read(other if "-t2-" in f.name else f)
    )
    done = push(server, "--how", "weights")
    assert done.code == 2
    assert "answers as it did before" in one_line(done.err)
    assert said(server, model="tiny") == before
    assert server.version == version


def test_sglangs_own_rollback_is_not_trusted(
    up: Up, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(Sglang)
    assert push(server, "--how", "weights", "--at", "first").code == 0
    before = said(server, model="tiny")
    server.spoils = True
    done = push(server, "--how", "weights")
    assert done.code == 2
    assert "Rolling back to original weights" in one_line(done.err)
    assert said(server, model="tiny") == before
    assert server.model_path.endswith("-weights") and "-t1-" in server.model_path


def test_vllm_is_resumed_whatever_happens(
    up: Up, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(Vllm, dev=True)
    before = said(server, model="tiny")
    real, failed = server._develop, []

    def refuses_once(path: str, query: Any, body: Any) -> Any:
        if path == "/collective_rpc" and not failed:
            failed.append(path)
            return 500, {"error": {"message": "no room"}}
        return real(path, query, body)

    monkeypatch.setattr(server, "_develop", refuses_once)
    done = push(server, "--how", "weights")
    assert done.code == 2
    assert "no room" in one_line(done.err)
    assert not server.paused
    assert said(server, model="tiny") == before


def test_vllm_that_ends_over_a_folder_it_does_not_see_is_told_in_one_sentence(
    up: Up, push: Push, place: Path
) -> None:
    server = up(Vllm, dev=True)
    done = push(server, "--how", "weights", "--folder", f"{place / 'here'}=/not/there")
    assert done.code == 2
    assert "does not answer" in one_line(done.err)


def test_vllm_elsewhere_must_be_told_how_it_sees_the_folder(
    up: Up, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(Vllm, dev=True)
    monkeypatch.setattr(Endpoint, "here", False)
    done = push(server, "--how", "weights")
    assert done.code == 2
    assert "--folder LOCAL=SERVER" in one_line(done.err)


# -- llama.cpp -------------------------------------------------------------------------------------


def test_llama_cpp_is_told_to_start_with_the_file_and_then_switched(
    up: Up, push: Push, place: Path
) -> None:
    done = push(up(LlamaCpp))
    assert done.code == 2
    (name,) = folders(place)
    file = place / "ws-pushed" / name
    assert f"--lora {file} --lora-init-without-apply" in one_line(done.err)

    server = up(LlamaCpp, files=[file])
    before = said(server)
    assert push(server).code == 0
    assert [row["scale"] for row in server.rows] == [1.0]
    assert said(server) != before
    assert folders(place) == [name]


def test_llama_cpp_answers_from_one_version_at_a_time(up: Up, push: Push, place: Path) -> None:
    bare = up(LlamaCpp)
    push(bare)
    push(bare, "--at", "first")
    files = [place / "ws-pushed" / name for name in folders(place)]
    server = up(LlamaCpp, files=files)
    assert push(server, "--at", "first").code == 0
    assert [row["scale"] for row in server.rows] == [1.0, 0.0]
    assert push(server, "--keep", "1").code == 0
    assert [row["scale"] for row in server.rows] == [0.0, 1.0]
    assert folders(place) == [file.name for file in files]  # it could be switched on again


def test_llama_cpp_that_answers_wrongly_is_not_switched(
    up: Up, push: Push, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(up(LlamaCpp))
    server = up(LlamaCpp, files=[place / "ws-pushed" / name for name in folders(place)])
    real = server.completion
    monkeypatch.setattr(server, "completion", lambda body, _, **more: real(body, {}, **more))
    done = push(server)
    assert done.code == 2
    assert "does not answer as the workspace does" in one_line(done.err)
    assert [row["scale"] for row in server.rows] == [0.0]


# -- what cannot be done ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        (LlamaCpp, ["--how", "weights"], "at its start only"),
        (LlamaCpp, ["--as", "live"], "leave --as out"),
        (Vllm, ["--at", "base"], "turn 0 is the unedited model"),
        (Vllm, ["--at", "nowhere"], '"nowhere"'),
        (Vllm, ["--as", "a b"], '"a b"'),
        (Vllm, ["--as", "tiny"], "conflicts with a served base model"),
        (Vllm, ["--folder", "here=there"], "here=there"),
        (Vllm, ["--key-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    kind: Any, options: list[str], word: str, up: Up, push: Push
) -> None:
    server = up(kind)
    done = push(server, *options)
    assert done.code == 2
    assert word in one_line(done.err)
    assert not getattr(server, "names", {})


def test_keys_go_where_they_belong(up: Up, push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    server = up(Sglang, key="k-1", admin_key="k-2")
    monkeypatch.setenv("THE_KEY", "k-1")
    monkeypatch.setenv("THE_ADMIN_KEY", "k-2")
    assert "--key-env" in one_line(push(server).err)
    assert "--admin-key-env" in one_line(push(server, "--key-env", "THE_KEY").err)
    assert server.names == {}
    done = push(server, "--key-env", "THE_KEY", "--admin-key-env", "THE_ADMIN_KEY")
    assert done.code == 0, done.err
    assert "k-1" not in done.out + done.err


@pytest.mark.parametrize("status", [404, 503])
def test_what_is_no_server_that_is_known(status: int, up: Up, push: Push) -> None:
    server = up(Vllm)
    server.route = lambda *_: (status, {"error": {"message": "Loading model"}})
    done = push(server)
    assert done.code == 2
    assert ("not up yet" if status == 503 else "neither vLLM") in one_line(done.err)


def test_our_own_server_is_edited_otherwise(up: Up, push: Push) -> None:
    server = up(Vllm)
    server.route = lambda *_: (200, {"version": "0.1.0", "model": "x", "workspace": "f00"})
    assert "--server" in one_line(push(server).err)


def test_a_server_that_is_not_there(place: Path) -> None:
    with Workspace.open(place / "ws") as workspace, pytest.raises(ServerError, match="is it run"):
        look(workspace, Wanted("http://127.0.0.1:9"))


def test_a_disk_that_is_full_leaves_nothing(
    up: Up, push: Push, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = up(Sglang)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ultraedit.export.exporting.write_lora", full)
    done = push(server)
    assert done.code == 2
    assert "No space left" in one_line(done.err)
    assert folders(place) == []
    assert server.names == {}


def test_a_line_that_a_crash_cut_off_is_passed_over(up: Up, push: Push, place: Path) -> None:
    server = up(Sglang)
    assert push(server, "--at", "first").code == 0
    ledger = place / "ws" / LEDGER
    ledger.write_bytes(ledger.read_bytes() + b'{"time": "2026')
    assert push(server).code == 0
    assert [row.turn for row in Ledger(place / "ws").rows()] == [1, 2]


def test_the_servers_path_of_a_folder() -> None:
    assert Place.read("/a/b=/mnt/b/").seen("v") == "/mnt/b/v"
    assert Place.read("/a/b").seen("v") == "/a/b/v"
    assert Place.read("/a=/").seen("v") == "/v"
