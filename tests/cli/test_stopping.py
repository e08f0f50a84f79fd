"""How the program ends when it is stopped: by a signal at any moment, or because nobody reads on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ultraedit.cli.app import main

from .conftest import Run

STOPPED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Finder())
sys.argv = ["ultraedit", "ask", {model!r}, "Who?"]
from ultraedit.__main__ import run
run()
"""


@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("typer", signal.SIGINT),
        ("torch", signal.SIGINT),
        ("torch.nn.modules", signal.SIGTERM),
        ("transformers.modeling_utils", signal.SIGINT),
        ("transformers.models.llama.modeling_llama", signal.SIGTERM),
    ],
)
def test_a_signal_while_something_is_imported(
    module: str, number: signal.Signals, tiny: Path
) -> None:
    code = STOPPED.format(module=module, number=int(number), model=str(tiny))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


@pytest.mark.parametrize("verb", ["--help", "validate"])
def test_a_reader_that_goes_away(verb: str, facts: Path) -> None:
    arguments = [verb] if verb == "--help" else [verb, str(facts)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ultraedit", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(write)
    assert done.stderr == "" and done.returncode in (0, 1)


def test_a_disk_that_refuses_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "facts.jsonl")

    monkeypatch.setattr("ultraedit.data.validate.validate", refuse)
    ran = run("validate", "facts.jsonl")
    assert ran.code == 2
    assert ran.err == "error: 'facts.jsonl' cannot be used: Input/output error.\n"


def test_no_memory_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ultraedit.data.validate.validate", refuse)
    ran = run("validate", "facts.jsonl")
    assert ran.code == 2 and ran.err.startswith("error: there is not enough memory")


def test_a_warning_is_one_line_without_its_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    def warn(*_: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("mind\nthe step", stacklevel=1)
        raise SystemExit(0)

    monkeypatch.setattr("ultraedit.data.validate.validate", warn)
    assert run("validate", "facts.jsonl").err == "warning: mind the step\n"


def test_a_name_that_is_too_long_for_a_file(run: Run) -> None:
    for arguments in (("ask", "x" * 5000, "Who?"), ("log", "x" * 5000), ("validate", "x" * 5000)):
        ran = run(*arguments)
        assert ran.code == 2 and ran.err.startswith("error: ") and len(ran.err) < 2100, arguments


def test_main_leaves_the_callers_signals_and_warnings_alone(capsys: pytest.CaptureFixture) -> None:
    import warnings

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), warnings.showwarning
    with pytest.raises(SystemExit):
        main(["--version"])
    assert (
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        warnings.showwarning,
    ) == before
    assert capsys.readouterr().err == ""
