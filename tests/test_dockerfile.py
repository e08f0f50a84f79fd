"""The Dockerfile agrees with the package that it installs; hadolint (`make lint`) knows the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from dockerfile import ROOT, Instruction, instructions, sent
from ultraedit.cli.app import app
from ultraedit.serving.address import is_loopback
from ultraedit.serving.keys import ADMIN_KEY, READ_KEY

FOUND = instructions()


def only(word: str) -> Instruction:
    (found,) = [one for one in FOUND if one.word == word]
    return found


def copied() -> list[str]:
    return [name for one in FOUND if one.word == "COPY" for name in one.rest.split()[:-1]]


@pytest.mark.parametrize("name", copied())
def test_what_is_copied_is_there_and_sent(name: str) -> None:
    assert (ROOT / name).exists()
    assert sent(name)


@pytest.mark.parametrize(
    "name",
    [".git/config", "demo-ws/journal.jsonl", "tests/tiny.py", "src/ultraedit/__pycache__/x.pyc"],
)
def test_what_is_no_part_of_the_package_stays_out(name: str) -> None:
    assert not sent(name)


def test_nothing_of_the_package_stays_out() -> None:
    package = ROOT / "src" / "ultraedit"
    files = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert files
    assert all(sent(str(p.relative_to(ROOT))) for p in files)


def test_it_serves_with_options_that_there_are() -> None:
    program, verb = only("ENTRYPOINT").words
    arguments = only("CMD").words
    assert (program, verb) == ("ultraedit", "serve")
    context = get_command(app).commands[verb].make_context(verb, list(arguments))  # type: ignore[attr-defined]
    assert str(context.params["workspace"]).startswith(only("VOLUME").rest)
    assert not is_loopback(context.params["host"])  # so that it is refused without a key
    assert str(context.params["port"]) == only("EXPOSE").rest


def test_no_key_is_in_the_image() -> None:
    text = Path(ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any(key in line for key in (READ_KEY, ADMIN_KEY) for line in lines)


def test_it_runs_as_nobody_special() -> None:
    words = [one.word for one in FOUND]
    assert not only("USER").rest.startswith(("0", "root"))
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "RUN" not in words[words.index("USER") :]


def test_its_health_is_a_route_without_a_key() -> None:
    asked = only("HEALTHCHECK").words[-1]
    assert f"127.0.0.1:{only('EXPOSE').rest}/ready" in asked
    compile(asked, "HEALTHCHECK", "exec")
