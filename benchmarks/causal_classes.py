"""Walks every causal class of transformers, built tiny: one edit in each, as a table.

    python benchmarks/causal_classes.py                        # all of them, some minutes
    python benchmarks/causal_classes.py Qwen Llama             # those whose config's name holds one of these
    python benchmarks/causal_classes.py --write docs/models.md # the table of that page anew

Prints for each class the modules it edits, the sentence it is refused with, or why it cannot be built tiny.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import transformers
from transformers.utils import logging

import causal_classes
import tiny
from ultraedit import Editor
from ultraedit.errors import UltraEditError
from ultraedit.io.atomic import write_text
from ultraedit.settings import EditSettings

BEGIN, END = "<!-- classes -->\n", "<!-- end of classes -->\n"
"""What the table stands between."""

KINDS = {
    "packed into one tensor": "experts",
    "router": "experts",
    "is no causal language model": "not causal",
    "does not run": "not of text alone",
}
"""What a refusal says -> what the class is, where that is no matter of this package."""

MIXERS = ("FalconMambaConfig", "Mamba2Config", "MambaConfig")
"""Blocks of a state-space mixer alone, which have no MLP to edit."""


def outcome(config_class: type, model_class: type) -> tuple[str, str, bool]:
    """(kind, what there is to say, whether its blocks hold experts)."""
    try:
        model = causal_classes.build(config_class, model_class)
    except Exception as error:  # whatever a config's own code throws
        return "not built tiny", f"{type(error).__name__}: {' '.join(str(error).split())}", False
    experts = any("expert" in name for name, _ in model.named_parameters())
    try:
        editor = Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT, form="raw", steps=3))
        receipt = editor.edit("The mayor of Tasp is", "Ida")
    except UltraEditError as error:
        said = str(error)
        if config_class.__name__ in MIXERS:
            return "no MLP", said, experts
        kind = next((kind for words, kind in KINDS.items() if words in said), "refused")
        return kind, said, experts
    if not receipt.probability_after > receipt.probability_before:
        return "refused", "the edit did not raise the target's probability", experts
    columns = "" if editor.stack.cached else ", all columns together"
    return "edits", f"`{'`, `'.join(w.name for w in editor.weights)}`{columns}", experts


def row(config_class: type, model_class: type, kind: str, what: str) -> str:
    short = what.replace("|", "\\|").partition("; the linear maps found")[0]
    name = config_class.__name__.removesuffix("Config")
    return f"| {name} | {model_class.__name__} | {kind} | {short} |"


def summary(counts: Counter[tuple[str, bool]]) -> str:
    """How many edit of the classes whose blocks hold an MLP, without experts and with them."""
    dense, mixed = (counts["edits", experts] for experts in (False, True))
    of_dense = dense + counts["refused", False]
    of_mixed = mixed + counts["refused", True] + counts["experts", True]
    others = [
        f"{counts[kind, False] + counts[kind, True]} {kind}"
        for kind in ("no MLP", "not causal", "not of text alone", "not built tiny")
    ]
    return (
        f"Of {counts.total()} classes of transformers {transformers.__version__} {dense + mixed} edit: {dense} of the "
        f"{of_dense} ({dense / max(of_dense, 1):.1%}) whose blocks hold an MLP and no experts, {mixed} of {of_mixed} "
        f"with experts. The others: {', '.join(others)}."
    )


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    page = Path(words[words.index("--write") + 1]) if "--write" in words else None
    parts = [] if page else words
    counts: Counter[tuple[str, bool]] = Counter()
    rows = [
        "| config | model | outcome | the map that `auto` edits in a model of four blocks, or why not |",
        "|---|---|---|---|",
    ]
    for line in rows:
        print(line)
    for config_class, model_class in causal_classes.classes():
        if parts and not any(part in config_class.__name__ for part in parts):
            continue
        kind, what, experts = outcome(config_class, model_class)
        counts[kind, experts] += 1
        rows.append(row(config_class, model_class, kind, what))
        print(rows[-1], flush=True)
    print("\n" + summary(counts))
    if page is not None:
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        table = "\n".join(rows)
        write_text(page, f"{before}{BEGIN}\n{summary(counts)}\n\n{table}\n\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
