"""What people see: at any width of the terminal no name is cut and no line too long, in a pipe no line is broken."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

import tiny as models
from ultraedit.cli import demo
from ultraedit.cli.app import main
from ultraedit.cli.demo_tables import SCORES
from ultraedit.cli.screen import ScoreTable, fit, print_json
from ultraedit.data.record import Record
from ultraedit.settings import EditSettings
from ultraedit.workspace.create import create_workspace

from .conftest import Run

WIDTHS = (60, 80, 140)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COPIED = ("next: ultraedit ", "  ultraedit ", "  python -c ", "  vllm ")
"""Lines that are made to be copied are left to the terminal to break."""


class Terminal:
    """A terminal of some width, and what was written to it."""

    def __init__(self, width: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # \n stays \n
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._found = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:  # nobody holds the other end any more
                return
            if not part:
                return
            self._found += part

    def text(self) -> str:
        self.stream.close()
        self._reader.join(10)
        os.close(self._master)
        return self._found.decode()


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *arguments: object) -> tuple[str, str]:
    """Stdout and stderr of a command on a terminal, without the terminal's escapes."""
    out, err = Terminal(width), Terminal(width)
    with monkeypatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("TERM", "xterm-256color")
        patch.setattr(sys, "stdout", out.stream)
        patch.setattr(sys, "stderr", err.stream)
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
    text, noise = (ESCAPES.sub("", t.text()) for t in (out, err))
    assert not left.value.code, noise
    return text, noise


def fits(text: str, width: int) -> None:
    """No line is wider than the terminal, and nothing was cut."""
    assert "…" not in text
    for line in text.splitlines():
        if line.startswith(COPIED) or len(line.split()) == 1:
            continue
        assert cell_len(line) <= width, line


@pytest.fixture(autouse=True)
def short_texts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [
        {
            "prompt": p,
            "target": t,
            "rephrases": [p + " now"],
            "locality": [{"prompt": "Is?", "answer": "a"}],
        }
        for p, t in models.FACTS
    ]
    file = tmp_path / "thirteen.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr("ultraedit.data.bundled.facts_path", lambda: file)
    monkeypatch.setattr("ultraedit.data.bundled.drift_text", lambda: models.TEXT)
    monkeypatch.setattr("ultraedit.evaluation.report.render", lambda *_: "")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in whose context a drift window fits."""
    return models.save_wide(tmp_path_factory.mktemp("wide") / "model")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_demo(width: int, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--scored", 6, "--generated", 6, "--dtype", "float32")
    text, noise = shown(monkeypatch, width, "demo", "--model", wide, "--out", tmp_path / "o", *few)
    fits(text, width)
    # a name may be folded over lines of its cell, which stand below each other in the first column
    first = [line.split("│")[1] if line.startswith("│") else line for line in text.splitlines()]
    words = " ".join(re.sub(r"[│┃║]", " ", " ".join(first)).split())
    for name, row in SCORES.items():
        if name.startswith(("efficacy", "generalization", "drift")):
            assert row in words, row
    assert text.count("unedited") >= 2 and "Scores, chat template" in text
    fits(noise.replace("\r", "\n"), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_scores_of_a_benchmark(
    width: int, wide: Path, tmp_path: Path, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = "fast:step=0.123456789"
    text, _ = shown(
        monkeypatch, width, "bench", wide, "--data", facts, "--out", tmp_path / "o",
        "--preset", preset, "--checkpoints", 1, "--score", 4, "--generate", 0,
    )  # fmt: skip
    fits(text, width)
    first = [line.split("│")[1] if line.startswith("│") else line for line in text.splitlines()]
    words = " ".join(" ".join(first).split())
    for name in ("edit, token accuracy", "rephrase, token accuracy", "drift, perplexity"):
        assert name in words
    assert "unedited" in text
    assert preset in text.replace("\n", "")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_verb_that_lists(
    width: int, wide: Path, tmp_path: Path, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = tmp_path / "ws"
    with create_workspace(ws, wide, EditSettings(preset="fast")) as made:
        made.edit_turn(
            [Record(f"{p} " * 3 + "谁是市长谁是市长", f"{t} " * 9, id=t) for p, t in models.FEW]
        )
    out = tmp_path / "out"
    commands: tuple[tuple[object, ...], ...] = (
        ("edit", wide, "--file", facts, "--out", out, "--steps", 1, "--turn-size", 3),
        ("edit", wide, "Who wrote the very long book about nothing at all?", "Ann", "--steps", 1),
        ("edit", ws, "Who wrote the very long book about nothing at all?", "Ann"),
        ("log", ws),
        ("show", ws, 1),
        ("diff", ws, "base"),
        ("mark", ws, "a-mark-with-a-very-long-name-that-is-allowed"),
        ("mark", ws),
        ("verify", ws),
        ("plan", wide),
        ("validate", facts),
        ("export", ws, "--to", "delta", "--out", tmp_path / "delta"),
        ("init", tmp_path / "new", "--model", wide),
        ("undo", ws),
        ("rollback", ws, "--to", "base"),
    )
    for command in commands:
        text, noise = shown(monkeypatch, width, *command)
        fits(text, width)
        fits(noise.replace("\r", "\n"), width)
        assert text.strip(), command


def test_a_pipe_gets_whole_lines(wide: Path, tmp_path: Path, run: Run) -> None:
    ws = tmp_path / "ws"
    with create_workspace(ws, wide, EditSettings(preset="fast")) as made:
        made.edit_turn([Record("Who was it " * 5, "Ann " * 20)])
    ran = run("log", ws)
    assert len(ran.out.splitlines()) == 3 and max(map(len, ran.out.splitlines())) > 120


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "60"}])
def test_without_colours_and_on_a_dumb_terminal(
    setting: dict[str, str],
    wide: Path,
    tmp_path: Path,
    facts: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, err = Terminal(80), Terminal(80)
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        for name, value in setting.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdout", out.stream)
        patch.setattr(sys, "stderr", err.stream)
        arguments = ["bench", wide, "--data", facts, "--out", tmp_path / "o", "--checkpoints", 1]
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in [*arguments, "--preset", "fast", "--score", 2, "--generate", 0]])
    text, noise = out.text(), err.text()
    assert not left.value.code, noise
    fits(ESCAPES.sub("", text), int(setting.get("COLUMNS", "80")))
    if "COLUMNS" not in setting:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text + noise), "no colour"
    if "TERM" in setting:
        assert "\x1b" not in text + noise


def test_no_bars_of_other_libraries_in_a_pipe(wide: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ultraedit", "edit", str(wide), "Who?", "Ann", "--steps", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "o")], capture_output=True, text=True, check=True
    )
    assert done.stderr == "" and "saved to" in done.stdout


# -- text that stdout cannot encode -----------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_answer_can_be_written(
    encoding: str, wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = tmp_path / "ws"
    with create_workspace(ws, wide, EditSettings(preset="fast")) as made:
        made.edit_turn([Record("谁是市长 é?", "甲 → 🙂", id="谁")])
    facts = tmp_path / "谁.jsonl"
    facts.write_text(json.dumps({"prompt": "谁是市长?", "target": "甲"}) + "\n")
    for command in (
        ("log", ws), ("show", ws, "1"), ("diff", ws, "base"), ("validate", facts), ("mark", ws, "谁"),
        ("ask", wide, "谁?", "--max-new-tokens", "4"), ("edit", ws, "谁 é?", "乙"), ("undo", ws),
    ):  # fmt: skip
        for extra in ((), ("--json",)):
            raw = io.BytesIO()
            stream = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", stream)
                with pytest.raises(SystemExit) as left:
                    main([str(a) for a in (*command, *extra)])
            assert not left.value.code, command
            if extra:
                json.loads(raw.getvalue().decode(encoding))


def test_json_is_in_its_own_characters_where_they_can_be_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"answer": "甲"})
    print_json({"answer": "\ud800"})
    assert capsys.readouterr().out == '{"answer": "甲"}\n{"answer": "\\ud800"}\n'


# -- layout -----------------------------------------------------------------------------------------


def test_prose_is_broken_between_words_and_indented() -> None:
    assert fit("  one two three", 11) == ["  one two", "    three"]
    assert fit("a" * 30 + " b", 10) == ["a" * 30, "  b"]
    assert fit("谁是市长 谁是市长", 10) == ["谁是市长", "  谁是市长"]
    assert fit("key  value\n\nnext", 40) == ["key  value", "", "next"]


def plain(patch: pytest.MonkeyPatch, width: int) -> None:
    """What other tests' libraries leave in the environment does not matter here."""
    patch.setenv("COLUMNS", str(width))
    patch.setenv("TERM", "xterm")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        patch.delenv(name, raising=False)


def test_figures_stand_side_by_side_where_they_fit_and_else_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = ScoreTable(
        "Scores", ["raw text\nunedited", "edited"], [("a long name of a row", ["1", "2"])]
    )
    texts = {}
    for width in (30, 80):
        out = Terminal(width)
        with monkeypatch.context() as patch:
            plain(patch, width)
            patch.setattr(sys, "stdout", out.stream)
            table.show()
        texts[width] = ESCAPES.sub("", out.text())
    assert "│" in texts[80] and "a long name of a row" in texts[80]
    assert texts[30].splitlines() == [
        "Scores",
        "a long name of a row",
        "  raw text unedited  1",
        "  edited             2",
    ]


def test_a_name_is_folded_where_that_keeps_the_figures_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "a name that is longer than what its figures leave to it"
    out = Terminal(50)
    with monkeypatch.context() as patch:
        plain(patch, 50)
        patch.setattr(sys, "stdout", out.stream)
        ScoreTable("Scores", ["unedited", "edited"], [(name, ["1", "2"])]).show()
    text = ESCAPES.sub("", out.text())
    rows = [line.split("│") for line in text.splitlines() if line.startswith("│")]
    assert " ".join(row[1].strip() for row in rows) == name and len(rows) > 1
    assert [cell.strip() for cell in rows[0][2:4]] == ["1", "2"]
    assert max(map(len, text.splitlines())) <= 50


@pytest.mark.parametrize("width", [60, 80])
def test_every_help_page_fits(width: int, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from typer.main import get_command

    from ultraedit.cli.app import app

    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(demo, "DRIFT_CHARACTERS", 10)
    for verb in get_command(app).commands:  # type: ignore[attr-defined]
        page = run(verb, "--help").out
        assert max(map(len, page.splitlines())) <= width, verb
