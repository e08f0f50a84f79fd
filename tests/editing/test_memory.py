"""What keeps a stream's resident memory flat."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ultraedit.cli.app import main
from ultraedit.editing.memory import KERNELS, bound_kernel_caches

NAMES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def test_the_program_bounds_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert [os.environ[name] for name in NAMES] == [str(KERNELS)] * 2


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMES[0], "7")
    bound_kernel_caches()
    assert os.environ[NAMES[0]] == "7"


def test_importing_the_library_sets_nothing() -> None:
    code = (
        f"import os, ultraedit, ultraedit.editing.editor; print([n in os.environ for n in {NAMES}])"
    )
    bare = {k: v for k, v in os.environ.items() if k not in NAMES}
    run = subprocess.run(
        [sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True
    )
    assert run.stdout.split("\n")[0] == "[False, False]"


PIECES = """
import os
from pathlib import Path
from ultraedit.editing.memory import give_back_freed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

pieces, kept = [], []
for _ in range(1000):
    pieces.append(bytearray(60_000))
    kept.append(bytearray(600))
pieces.clear()
before = resident()
give_back_freed()
print(before - resident())
"""


def test_freed_pieces_between_used_ones_are_handed_back() -> None:
    """60 MB freed in pieces of 60 kB, each before a small one that stays: in a process without other holes, in which
    the small ones would find room."""
    run = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 30e6
