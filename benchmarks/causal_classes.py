"""Walks every causal class of transformers, built tiny: one edit in each, as a table.

    python benchmarks/causal_classes.py            # all of them, about a minute
    python benchmarks/causal_classes.py Qwen Llama # those whose config's name holds one of these

Prints for each class the modules it edits, the sentence it is refused with, or why it cannot be built tiny.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from transformers.utils import logging

import causal_classes
import tiny
from ultraedit import Editor
from ultraedit.errors import UltraEditError
from ultraedit.settings import EditSettings


def outcome(config_class: type, model_class: type) -> tuple[str, str]:
    """(kind, what there is to say)."""
    try:
        model = causal_classes.build(config_class, model_class)
    except Exception as error:  # whatever a config's own code throws
        return "cannot be built tiny", f"{type(error).__name__}: {' '.join(str(error).split())}"
    try:
        editor = Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT, form="raw", steps=3))
        receipt = editor.edit("The mayor of Tasp is", "Ida")
    except UltraEditError as error:
        return "refused", str(error)
    rise = f"{receipt.probability_before:.1e} to {receipt.probability_after:.1e}"
    columns = "" if editor.stack.cached else ", all columns together"
    return "edits", f"{', '.join(w.name for w in editor.weights)} ({rise}{columns})"


def main(parts: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    counts: Counter[str] = Counter()
    print("| config | model | outcome | what |\n|---|---|---|---|")
    for config_class, model_class in causal_classes.classes():
        if parts and not any(part in config_class.__name__ for part in parts):
            continue
        kind, what = outcome(config_class, model_class)
        counts[kind] += 1
        print(f"| {config_class.__name__} | {model_class.__name__} | {kind} | {what} |", flush=True)
    print("\n" + ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))


if __name__ == "__main__":
    main(sys.argv[1:])
