"""What the package's README tells people to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests_graph import load, triples, write_tsv
from ultraedit.cli.app import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tsv(tmp_path / "graph.tsv")
    (tmp_path / "labels.json").write_text('{"Q1": "Grenby"}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_lines(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "reading triples"
    assert int(said[-1].split()[0]) == len(load(graph / "bench")) > 20


def test_the_command(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = re.findall(r"^ultraedit (build .*)$", README, re.MULTILINE)
    with pytest.raises(SystemExit) as left:
        main(shlex.split(line))
    assert left.value.code in (0, None), capsys.readouterr().err
    assert {r["kind"] for r in load(graph / "bench")} == {"counterfact"}
    assert len(load(graph / "bench")) < len(triples())
