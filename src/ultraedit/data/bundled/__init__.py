"""The data sets that ship with the package, written for it and in the public domain (CC0).

`facts.jsonl` holds fictional updates for the demo, `drift.txt` ordinary prose on which an edited
model is compared with the unedited one, `anchor.txt` other prose and short questions whose key
statistics an editor may preserve.  The two texts share nothing.  See `README.md` beside them.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def facts_path() -> Path:
    """The path of the bundled edit records, one JSON object a line.

    Each has `id`, `prompt`, `target`, `rephrases` (two), `subject` and `locality`
    (a list of `{"prompt", "answer"}`).  The package must be installed as a folder, which pip does.
    """
    return Path(str(files("ultraedit.data.bundled") / "facts.jsonl"))


def requests_path() -> Path:
    """The path of the bundled chat requests, one JSON object a line.

    Each has `id`, `kind`, `split`, `messages`, `answers` and `checks` (see `README.md`).  Rows of
    the split `score` only compare an edited model with the unedited one: nothing may be fitted to
    them.  Rows of the split `anchor` are about other things, and an editor may use them.
    """
    return Path(str(files("ultraedit.data.bundled") / "requests.jsonl"))


def drift_text() -> str:
    """Ordinary English prose (64 articles, 20,681 SmolLM2 tokens) on which drift is measured.

    Articles are separated by an empty line and begin with a title line.  Nothing may be fitted to
    this text: it only compares an edited model with the unedited one.
    """
    return _text("drift.txt")


def anchor_text() -> str:
    """Ordinary prose and short questions with their answers, for the key covariance to preserve.

    About 12,800 SmolLM2 tokens, a quarter of them questions in several formats, spread evenly, so
    that a prefix has the same mix.  None of it is in `drift_text`, and no question is one of the
    locality prompts of `facts_path`.
    """
    return _text("anchor.txt")


def _text(name: str) -> str:
    return files("ultraedit.data.bundled").joinpath(name).read_text(encoding="utf-8")
