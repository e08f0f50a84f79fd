"""The real model's life: killed, resumed, undone, exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ultraedit import facts_path

LIFE = Path(__file__).parent.parent.parent / "benchmarks" / "life.py"


@pytest.mark.timeout(1800)  # it loads the model seven times
def test_100_edits_2_kills_half_undone_and_exported(tmp_path: Path) -> None:
    """`benchmarks/life.py` at a twentieth of its usual size; its own process starts and kills the others."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    arguments = [
        "--edits",
        "100",
        "--turn-size",
        "25",
        "--kills",
        "2",
        "--out",
        str(tmp_path / "life"),
    ]
    done = subprocess.run(
        [sys.executable, str(LIFE), "--data", str(facts_path()), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | threads,
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert (found["kills"], found["bit_identical"], found["sound"]) == (2, True, True)
    assert found["learned"] >= 0.9 * 100
    assert found["undone"] == {"edits": 50, "exact": True, "turn": 2}
    assert found["same_after_undo"] == found["asked"] == 40
    exported = {kind: figures["same"] for kind, figures in found["exports"].items()}
    assert exported == {"merged": 40, "delta": 40, "lora": 40}
    assert found["base_again"]
