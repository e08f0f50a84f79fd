"""The dataset card: counts, gates, histograms and fifty random records, in Markdown.

Knows nothing of how the set was made beyond the counts handed to it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ultraedit.io.atomic import new_file
from ultraeditbench.compose import SPLITS
from ultraeditbench.config import BuildConfig
from ultraeditbench.output import unfinished
from ultraeditbench.relations import templates
from ultraeditbench.tally import Tally

_KINDS = {
    "new": "new (the target is the object of the fact, as the graph has it)",
    "counterfact": "counterfact (the target is another object of the same relation and class, "
    "never a true one)",
    "update": "update (relations that change over time; the target is the newest dated object, "
    "or else another object of the same relation and class)",
}
_BAR = 40
_HEAD = """---
pretty_name: UltraEditBench
language: en
tags: [knowledge-editing, model-editing]
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
  - split: dev
    path: data/dev-*.parquet
  - split: eval
    path: data/eval-*.parquet
---

# UltraEditBench
"""


def _table(head: tuple[str, str], rows: list[tuple[str, int]]) -> str:
    body = "\n".join(f"| {name} | {n:,} |" for name, n in rows)
    return f"| {head[0]} | {head[1]} |\n|---|---:|\n{body}\n"


def _histogram(title: str, counts: Counter[int], width: int) -> str:
    top = max(counts.values(), default=1)
    lines = []
    for low, n in sorted(counts.items()):
        span = f"{low}-{low + width - 1}" if width > 1 else str(low)
        lines.append(f"{span:>9} {n:>10,} {'#' * max(1, n * _BAR // top)}")
    return f"{title}\n\n```\n" + "\n".join(lines) + "\n```\n"


def _sample(tally: Tally) -> str:
    lines = []
    for number, (_, body) in enumerate(sorted(tally.sample), 1):
        record = json.loads(body)
        probes = "; ".join(
            f"[{p['kind']}] {p['prompt']} → {p['answer']}" for p in record["locality"]
        )
        hops = "; ".join(f"{p['prompt']} → {p['answer']}" for p in record["portability"])
        old = f" (before: {record['old']})" if record["old"] else ""
        lines.append(
            f"{number}. **{record['prompt']}** → {record['ans']}{old}  \n"
            f"   rephrase: {record['rephrase_prompt']}  \n   locality: {probes}"
            + (f"  \n   two-hop: {hops}" if hops else "")
        )
    return "\n".join(lines)


def render(config: BuildConfig, counts: dict[str, int], tally: Tally) -> str:
    """The whole card as Markdown.  Depends on settings and counts alone: no date, no time, no
    path."""
    own = templates()[0]
    pairs = {tuple(name.split("\t")): n for name, n in tally.relations.items()}
    by_hand = sum(n for (pid, _), n in pairs.items() if pid in own)
    files = ", ".join(f"`{path.name}`" for path in config.triples)
    read = counts["triples read"]
    gates = [(n, c) for n, c in counts.items() if n != "triples read" and not n.startswith("facts")]
    gates += [(f"dropped: {n} (finished text)", c) for n, c in sorted(tally.dropped.items())]
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [(f"{pid} {label}" if pid in own else label, n) for (pid, label), n in ranked]
    splits = [(split, tally.splits[split]) for split in SPLITS]
    short = (
        f"Asked for {config.size:,} records; the input yields no more than {tally.written:,}.\n\n"
        if tally.written < config.size
        else ""
    )
    note = f"{config.note}\n\n" if config.note else ""
    return f"""{_HEAD}
{note}{tally.written:,} edits over {len(pairs):,} relations, made from {read:,} triples in
{files}
with `ultraedit build` (kind **{config.kind}**, seed {config.seed}). The terms of the triples apply
to the records made from them.

{short}Kind: {_KINDS[config.kind]}.

Worded by hand-written templates: {by_hand:,} records ({by_hand / max(tally.written, 1):.1%}); the
others from the label of their relation. Reworded by a model: {tally.rewritten:,}. Contradicting
edits (`conflicts_with`): {tally.conflicts:,}.

{_table(("split (by subject, no subject in two)", "records"), splits)}
## Gates

{read:,} triples were read. What was dropped or put aside; from "several objects" on, a count is of
pairs of subject and relation, and each counts once, at the first gate that it fails:

{_table(("gate", "count"), gates)}
Facts that passed every gate on names: {counts["facts that pass all gates"]:,}.

Limits that these gates do not cover: the language gate looks at the script only; a label without an
entity id stands for whatever entity the source meant; a relation with one object in the source may
have more in the world.

## Probes

{_table(("probe", "count"), sorted(tally.probes.items()))}
## Lengths

{_histogram("Prompt, characters", tally.prompt_chars, 20)}
{_histogram("Answer, characters", tally.answer_chars, 5)}
{_histogram("Answer, words", tally.answer_words, 1)}
## Fifty random records

{_sample(tally)}

## Relations

{_table(("relation", "records"), rows)}"""


def write_card(config: BuildConfig, counts: dict[str, int], tally: Tally) -> Path:
    """Writes `README.md` in the output folder; its presence says that the set is complete."""
    path = config.out / "README.md"
    with new_file(path, unfinished(path)) as made:
        made.write_text(render(config, counts, tally), encoding="utf-8")
    return path
