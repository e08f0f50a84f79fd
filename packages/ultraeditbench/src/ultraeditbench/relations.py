"""Relations and their wordings: the package's own templates, and a fallback made from a relation's
label.

Knows nothing of triples.  The templates are YAML files beside this module, read on first use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from ultraedit.errors import DataError
from ultraeditbench.classes import CODE


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation with everything that can be said with it."""

    id: str
    """Wikidata property id, or the label itself where the input has no id."""
    label: str
    domain: str = "any"
    range: str = "any"
    ask: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Questions by subject class; "any" holds the default.  `{s}` stands for the subject."""
    cloze: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Beginnings that the answer completes, by subject class."""
    noun: str | None = None
    """A noun phrase for the object ("the birthplace of {s}"), used in two-hop questions."""
    many: bool = False
    """Has several objects by nature; worded "a ..." or "which ..."."""
    mutable: bool = False
    """Changes over time: may be the subject of an update."""
    skip: str | None = None
    """Why nothing is asked with it."""
    titles: bool = False
    """Its subjects of no known class are works, and stand in quotation marks."""
    common: bool = False
    """Reads well of a common noun in quotation marks; with other relations those are left out."""
    never: tuple[str, ...] = ()
    """Classes of subjects that the wordings do not suit."""
    refuse_subject: str | None = None
    """A pattern of subjects that the wordings do not suit, in RE2's syntax."""
    refuse_answer: str | None = None
    """A pattern of answers that the wordings do not suit, or that are plain mistakes."""
    names: str | None = None
    """What its subjects are called like where their class does not say: "river" or "team"."""
    own: bool = True
    """Worded by hand (False: made from the label)."""

    def questions(self, cls: str) -> tuple[str, ...]:
        """Questions for a subject of this class."""
        return self.ask.get(cls) or self.ask.get("any", ())

    def beginnings(self, cls: str) -> tuple[str, ...]:
        """Cloze beginnings for a subject of this class."""
        return self.cloze.get(cls) or self.cloze.get("any", ())


_TYPES = re.compile(r"^(\w+) > (\w+)$")
_FIELDS = {
    "label", "types", "ask", "fill", "noun", "many", "mutable", "skip",
    "titles", "common", "never", "refuse_subject", "refuse_answer", "names",
}  # fmt: skip


def _lines(block: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in block.splitlines() if line.strip())


def _parse(pid: str, entry: dict, file: str) -> tuple[Relation, tuple[str, ...]]:
    labels = tuple(part.strip() for part in entry["label"].split(" | "))
    if "skip" in entry:
        return Relation(pid, labels[0], skip=entry["skip"]), labels
    match = _TYPES.match(entry["types"])
    never = tuple(entry.get("never", "").split())
    if unknown := set(never) - set(CODE):
        raise DataError(f"{file}: {pid} is never asked of {sorted(unknown)}; those are no classes.")
    if match is None or match[1] not in CODE or match[2] not in CODE:
        raise DataError(f"{file}: {pid} has types {entry['types']!r}; write 'class > class'.")
    ask, cloze = {"any": _lines(entry["ask"])}, {"any": _lines(entry["fill"])}
    for key in set(entry) - _FIELDS:
        (cloze if key.endswith("_fill") else ask)[key.removesuffix("_fill")] = _lines(entry[key])
    relation = Relation(
        pid, labels[0], match[1], match[2], ask, cloze,
        entry.get("noun"), entry.get("many", False), entry.get("mutable", False),
        titles=entry.get("titles", False), common=entry.get("common", False), never=never,
        refuse_subject=entry.get("refuse_subject"), refuse_answer=entry.get("refuse_answer"),
        names=entry.get("names"),
    )  # fmt: skip
    return relation, labels


@lru_cache(maxsize=1)
def templates() -> tuple[dict[str, Relation], dict[str, str]]:
    """All hand-written relations by property id, and every known label -> property id."""
    from importlib.resources import files

    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    relations: dict[str, Relation] = {}
    by_label: dict[str, str] = {}
    folder = files("ultraeditbench") / "templates"
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if not path.name.endswith(".yaml"):
            continue
        for pid, entry in yaml.load(path.read_text(encoding="utf-8"), Loader=loader).items():
            relation, labels = _parse(pid, entry, path.name)
            relations[pid] = relation
            for label in labels:
                by_label[label.casefold()] = pid
    return relations, by_label


_PLAIN = re.compile(r"^[a-z][a-z' -]*[a-z]$", re.I)
_AGENTS = frozenset(
    [
        "designer",
        "programmer",
        "curator",
        "conductor",
        "architect",
        "auditor",
        "defender",
        "editor",
        "inventor",
        "coach",
        "trainer",
        "manager",
        "director",
        "governor",
        "mayor",
        "president",
        "owner",
        "captain",
        "officer",
    ]
)
_BAD_WORDS = frozenset(
    [
        "of",
        "in",
        "at",
        "from",
        "to",
        "with",
        "on",
        "as",
        "that",
        "is",
        "are",
        "topic",
        "category",
        "template",
        "list",
        "wikimedia",
        "wikidata",
        "identifier",
        "id",
    ]
)


def from_label(pid: str, label: str) -> Relation:
    """A relation worded from its label alone; `skip` is set where no such wording is good English.

    Handles "published by" (participle + by), "has facility" and plain noun phrases of up to four
    words.
    Everything else ("different from", "uses", "located in ...") is refused rather than worded
    badly.
    """
    parts = label.casefold().split()
    refused = Relation(pid, label, skip="no wording can be made from the label", own=False)
    if not _PLAIN.match(label) or not 1 <= len(parts) <= 4:
        return refused
    if len(parts) == 2 and parts[1] == "by" and parts[0].endswith(("ed", "en", "wn", "ne")):
        ask = (
            f"Who or what is {{s}} {parts[0]} by?",
            f"By whom or what is {{s}} {parts[0]}?",
            f"{{s}} is {parts[0]} by whom or what?",
        )
        cloze = (f"{{s}} is {parts[0]} by",)
        return Relation(pid, label, ask={"any": ask}, cloze={"any": cloze}, own=False)
    if parts[0] == "has":
        parts = parts[1:]
    noun = " ".join(parts)
    # "season starts", "wears": a verb, or a plural that "is" does not agree with
    plural = noun.endswith("s") and not noun.endswith(("ss", "us", "is"))
    verbal = plural or (bool(parts) and parts[0].endswith(("ed", "ing")))
    if not parts or verbal or _BAD_WORDS & set(parts) or parts[-1] in {"by", "for"}:
        return refused
    wh = "Who" if parts[-1] in _AGENTS else "What"
    ask = (
        f"{wh} is the {noun} of {{s}}?",
        f"Which {noun} is recorded for {{s}}?",
        f"{wh} is listed as the {noun} of {{s}}?",
    )
    cloze = (f"The {noun} of {{s}} is", f"The {noun} recorded for {{s}} is")
    return Relation(pid, label, ask={"any": ask}, cloze={"any": cloze}, own=False)


def resolve(text: str, labels: dict[str, str]) -> Relation | None:
    """The relation that an input names by property id or by label; None where it has neither
    wording nor label.

    `labels` gives the input's own labels of property ids (Wikidata5M's relation file,
    `relations.json`).
    """
    own, by_label = templates()
    if text in own:
        return own[text]
    pid = by_label.get(text.casefold())
    if pid is not None:
        return own[pid]
    label = labels.get(text, text)
    pid = by_label.get(label.casefold())
    if pid is not None:
        return own[pid]
    if re.fullmatch(r"P\d+", label):
        return None
    return from_label(text, label)
