"""The verb `build`: several files after one flag, JSON out, errors in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests_graph import triples, write_tsv
from ultraedit.cli.app import main


def test_several_files_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = triples()
    one = write_tsv(tmp_path / "one.tsv", rows[:200])
    two = write_tsv(tmp_path / "two.tsv", rows[200:])
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(
            ["build", "--triples", str(one), str(two), "--out", str(out), "--size", "50", "--json"]
        )
    assert left.value.code in (0, None)
    result = json.loads(capsys.readouterr().out)
    assert result["records"] == 50
    assert result["counts"]["triples read"] == len(rows)
    assert "one.tsv`, `two.tsv" in (out / "README.md").read_text(encoding="utf-8")


def test_a_missing_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["build", "--triples", str(tmp_path / "gone"), "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert "gone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
