"""`bench` and `eval` measure the chat where the form is chat, beside the unedited model's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiny
from ultraedit.bench.chat import make_measure
from ultraedit.bench.scoring import Scoring
from ultraedit.cli.app import main
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.evaluation.files import read_result
from ultraedit.settings import EditSettings, Loading

from .conftest import fact

STRONG = "default:step=3,text_weight=0,history=false"


def cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(a) for a in arguments])
    code = exit_.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_wide(tmp_path_factory.mktemp("chat") / "model")


def bench(model: Path, facts: Path, out: Path, *more: object) -> int:
    small = ("--edits", 6, "--turn-size", 3, "--checkpoints", 2, "--generate", 2)
    return cli("bench", model, "--data", facts, "--out", out, "--preset", STRONG, *small,
               "--dtype", "float32", *more)  # fmt: skip


def test_a_benchmark_in_chat_form_measures_the_chat(
    chatty: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert bench(chatty, facts, out, "--form", "chat", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    result = read_result(out / "result.json")
    run = result.runs[0]
    assert run.chat is not None
    assert (run.chat.requests, run.chat.left_out) == (5, {})
    assert run.chat.kept <= run.chat.right_before
    assert run.chat.changed
    last, first = run.checkpoints[-1].figures, run.checkpoints[0].figures
    assert last["chat.kl"].value > 0
    assert last["chat.edits.bare"].n == result.unedited.figures["chat.edits.bare"].n == 2
    assert not any(name.startswith("chat.") for name in first)
    assert rows[STRONG]["chat.kl"]["value"] == last["chat.kl"].value
    assert "chat.kl" not in rows["unedited"]
    assert rows["unedited"]["chat.words"]["value"] > 0
    assert "What is left of the chat</h2>" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wanted", "form", "measured"),
    [(None, "chat", True), (None, "raw", False), (False, "chat", False), (True, "raw", True)],
)
def test_it_is_measured_where_the_form_is_chat_or_it_is_asked_for(
    wanted: bool | None, form: str, measured: bool
) -> None:
    model, tokenizer = tiny.llama(max_position_embeddings=512), tiny.tokenizer(chat=True)
    made = make_measure(wanted, model, tokenizer, form=form, generate=9, seed=3)
    assert (made is not None) == measured
    if made is not None:
        assert (made.protocol.edits, made.protocol.seed) == (9, 3)


def test_a_figure_of_the_chat_can_be_required(
    chatty: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--require", "chat.kl=0", "--require", "chat.loops=1")
    assert bench(chatty, facts, tmp_path / "on", "--chat", *wanted) == 1
    said = capsys.readouterr()
    assert "chat, KL on own answers" in said.out
    assert "chat.kl is" in said.err
    assert "chat.loops" not in said.err
    assert read_result(tmp_path / "on" / "result.json").protocol.form == "raw"


def test_without_a_chat_template_it_is_refused(
    model_folder: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(model_folder, facts, tmp_path / "out", "--chat") == 2
    assert "--chat measures answers in the chat template" in capsys.readouterr().err
    assert not (tmp_path / "out" / "result.json").exists()


def test_requiring_what_was_not_measured_is_refused(
    chatty: Path, facts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(chatty, facts, tmp_path / "out", "--require", "chat.kept=0.9") == 2
    assert "or the chat measure" in capsys.readouterr().err
    assert bench(chatty, facts, tmp_path / "other", "--require", "chat.luck=0.9") == 2
    assert "or chat, a dot, and one of kl, same_first_token" in capsys.readouterr().err


def test_an_evaluation_asks_the_base_first(
    chatty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "facts.jsonl"
    facts = [fact(i) for i in range(4)]
    data.write_text("".join(json.dumps(f) + "\n" for f in facts), encoding="utf-8")
    editor = Editor.from_pretrained(
        chatty, EditSettings(step=3.0, text_weight=0.0), dtype="float32"
    )
    editor.edit_turn([Record(str(f["prompt"]), str(f["target"])) for f in facts])
    editor.save_pretrained(tmp_path / "model")
    asked = ("--data", data, "--generate", 2, "--dtype", "float32", "--json")
    assert cli("eval", tmp_path / "model", "--base", chatty, *asked) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows["model"]["chat.kl"]["value"] > 0
    assert rows["model"]["chat.edits.rephrase"]["n"] == 2
    assert rows["unedited"]["chat.edits.rephrase"]["n"] == 2
    assert cli("eval", chatty, "--base", chatty, *asked) == 0
    same = json.loads(capsys.readouterr().out)["rows"]["model"]
    assert same["chat.kl"]["value"] == 0
    assert same["chat.same_answer"]["value"] == 1


def test_the_progress_tells_how_many_answers_are_to_come(
    chatty: Path, facts: Path, tmp_path: Path
) -> None:
    from ultraedit.bench.bench import run_bench
    from ultraedit.bench.config import Config

    said: list[str] = []

    class Listener:
        def stage(self, text: str) -> None:
            said.append(text)

        def run(self, label: str, order: int, edits: int) -> None: ...

        def turn(self, point: object) -> None: ...

    settings = Config(
        model=str(chatty),
        data=str(facts),
        edits=6,
        preset=(STRONG,),
        checkpoints=1,
        settings=EditSettings(form="chat"),
        scoring=Scoring(generate=2),
        loading=Loading(dtype="float32"),
    )
    run_bench(settings, tmp_path / "out", Listener())
    told = [text for text in said if "in chat:" in text]
    assert told[0].startswith("asking the unedited model in chat: 0 of ")
    total = int(told[0].split(" of ")[1].split()[0])
    assert told[0].endswith(f"{total} answers")
    half = [t for t in told if t.startswith("asking the edited model")]
    assert half[0] == f"asking the edited model in chat: 0 of {total} answers"
    assert half[-1] == f"asking the edited model in chat: {total} of {total} answers"
