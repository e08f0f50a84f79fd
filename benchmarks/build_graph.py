"""Makes an invented graph of the size and shape of Wikidata5M, to measure `ultraedit build` at
full scale.

    python benchmarks/build_graph.py --out graph                 # 5M entities, 20M triples, 822
    relations
    python benchmarks/build_graph.py --out small --scale 0.05

Three files like Wikidata5M's: `triples.txt`, `entities.txt` and `relations.txt`.  Every entity and
every statement is
made up; relation ids are Wikidata's where the package has wordings for them, so that class and
wording logic is
exercised as on the real graph, and the rest carry invented labels.  The same seed gives the same
bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ultraeditbench.relations import templates

ENTITIES, TRIPLES, RELATIONS = 5_000_000, 20_000_000, 822
SHARES = {
    "person": 0.36, "place": 0.25, "org": 0.09, "work": 0.14, "event": 0.03, "taxon": 0.08, "substance": 0.005,
    "disease": 0.004, "concept": 0.02, "office": 0.003, "award": 0.003, "product": 0.01, "thing": 0.003,
    "language": 0.002,
}  # fmt: skip
KINDS = {
    "person": "human",
    "place": "town",
    "org": "company",
    "work": "film",
    "event": "battle",
    "taxon": "taxon",
}
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s",
           "t", "v", "z", "br", "dr", "gr", "kl", "st", "tr")  # fmt: skip
_SOUNDS = [onset + vowel for onset in _ONSETS for vowel in "aeiou"]
_CHUNK = 1_000_000


def word(number: int) -> str:
    """A pronounceable word for a number; different numbers give different words."""
    sounds = []
    number += len(_SOUNDS)
    while number:
        number, rest = divmod(number, len(_SOUNDS))
        sounds.append(_SOUNDS[rest])
    return "".join(sounds)


def name(cls: str, index: int) -> str:
    """The label of the `index`-th entity of a class.  One in fifty shares its label with
    another."""
    if index % 50 == 0:
        index += 1
    key = index * 2_654_435_761 % 4_294_967_291
    if cls == "person":
        return f"{word(key % 9_973).title()} {word(key // 9_973).title()}"
    if cls in ("work", "event", "award", "office"):
        kind = {"work": "The", "event": "Battle of", "award": "Medal of", "office": "Mayor of"}[cls]
        return f"{kind} {word(key).title()}"
    if cls in ("concept", "substance", "disease"):
        return f"{word(key % 9_973)} {word(key // 9_973)}"
    return word(key).title()


def relations() -> list[tuple[str, str, str, str]]:
    """(id, label, subject class, object class) of every relation, the most frequent first."""
    own = [
        (r.id, r.label, r.domain, r.range)
        for r in templates()[0].values()
        if r.skip is None and r.range not in ("year", "number") and r.id != "P31"
    ]
    tail = [
        (f"P{900_000 + n}", f"{word(n)} mark", "any", "any")
        for n in range(RELATIONS - len(own) - 1)
    ]
    return [("P31", "instance of", "any", "concept"), *own, *tail]


def main() -> None:
    """Writes the three files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)

    first: dict[str, int] = {}
    size: dict[str, int] = {}
    total = 0
    with (args.out / "entities.txt").open("w", encoding="utf-8") as file:
        for cls, share in SHARES.items():
            first[cls], size[cls] = total, max(50, int(ENTITIES * args.scale * share))
            labels = [name(cls, i) for i in range(size[cls])]
            if cls == "concept":
                labels[: len(KINDS)] = KINDS.values()
            file.writelines(f"Q{total + i + 1}\t{label}\n" for i, label in enumerate(labels))
            total += size[cls]
    table = relations()
    (args.out / "relations.txt").write_text(
        "".join(f"{r[0]}\t{r[1]}\n" for r in table), encoding="utf-8"
    )

    def span(cls: str) -> tuple[int, int]:
        cls = {"country": "place", "model": "product"}.get(cls, cls)
        return (0, total) if cls == "any" else (first[cls], size[cls])

    weights = np.cumsum(1 / np.arange(1, len(table) + 1))
    starts = np.array([[span(r[2])[0], span(r[2])[1], span(r[3])[0], span(r[3])[1]] for r in table])
    ends = np.array([first[cls] + size[cls] for cls in SHARES])
    kind_of = np.array(
        [first["concept"] + list(KINDS).index(c) if c in KINDS else -1 for c in SHARES]
    )
    left = int(TRIPLES * args.scale)
    with (args.out / "triples.txt").open("w", encoding="utf-8") as file:
        while left:
            n = min(_CHUNK, left)
            left -= n
            r = np.searchsorted(weights, rng.random(n) * weights[-1])
            s = starts[r, 0] + (rng.random(n) * starts[r, 1]).astype(np.int64)
            # few objects are named often, most seldom
            o = starts[r, 2] + (rng.random(n) ** 3 * starts[r, 3]).astype(np.int64)
            kind = kind_of[np.searchsorted(ends, s, side="right")]
            o = np.where((r == 0) & (kind >= 0), kind, o)
            rows = zip(s.tolist(), r.tolist(), o.tolist(), strict=True)
            file.writelines(f"Q{a + 1}\t{table[b][0]}\tQ{c + 1}\n" for a, b, c in rows)
    print(
        f"{total:,} entities, {int(TRIPLES * args.scale):,} triples, {len(table)} relations in {args.out}"
    )


if __name__ == "__main__":
    main()
