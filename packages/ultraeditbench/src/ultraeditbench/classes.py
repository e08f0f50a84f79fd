"""The coarse classes of entities: what a question asks for (who, where, when) and how a subject is
named.

Knows nothing of DuckDB.  A class comes from an `instance of` fact where the graph has one, else
from the
relations in which the entity takes part (see `stages`).
"""

from __future__ import annotations

import re

CLASSES = (
    "any", "model", "person", "place", "org", "work", "event", "taxon", "substance", "disease", "concept",
    "office", "award", "product", "thing", "language", "year", "number",
)  # fmt: skip
"""Order is part of the work database: a class is stored as its position here.  A model is a thing
made in numbers (aircraft, guns, boats); it comes first so that any other evidence outweighs it."""

CODE = {name: code for code, name in enumerate(CLASSES)} | {"country": CLASSES.index("place")}

_ENDINGS: tuple[tuple[str, str], ...] = (
    # the head noun of an `instance of` value, and the class it means; the first match wins
    (r"human|person|fictional character|character|twins|siblings", "person"),
    (r"award|prize|medal|trophy|order of merit", "award"),
    (r"film|album|song|single|novel|book|series|episode|painting|play|opera|poem|literary work|"
     r"musical|video game|magazine|newspaper|manga|work|program|season|ballad|"
     r"sculpture|ep", "work"),
    (r"company|enterprise|organi[sz]ation|university|college|school|team|club|band|party|"
     r"business|agency|ministry|union|association|institute|institution|group|airline|label|"
     r"duo|trio|corporation|bank|church body|publisher|hospital|station network", "org"),
    (r"battle|war|election|tournament|championship|competition|edition|conflict|festival|"
     r"treaty|race|event|siege|revolution|congress", "event"),
    (r"taxon|species|genus|monotypic taxon", "taxon"),
    (r"chemical compound|medication|drug|chemical element|alloy|mineral|protein", "substance"),
    (r"disease|syndrome|disorder|cancer|infection", "disease"),
    (r"city|town|village|municipality|commune|country|state|county|district|province|region|"
     r"river|lake|mountain|island|settlement|capital|suburb|neighborhood|borough|parish|street|"
     r"building|castle|museum|station|airport|bridge|church|park|peninsula|glacier|volcano|hill|"
     r"stadium|cemetery|ward|sea|strait|territory|canton|raion|oblast|department|republic|"
     r"reservoir|road|mosque|temple|monastery|cathedral|palace|house|port|"
     r"sovereign state", "place"),
    (r"language|dialect|language family", "language"),
    (r"position|office|title", "office"),
    (r"software|automobile model|aircraft|ship|programming language|operating system|website",
     "product"),
    (r"asteroid|star|galaxy|constellation|planet|moon|crater", "thing"),
)  # fmt: skip
_PATTERNS = tuple((re.compile(rf"(?:^|[\s-])(?:{body})$"), name) for body, name in _ENDINGS)
_OF = re.compile(r"\s+(?:of|in|for|by|or|with|from)\s.*$")


def class_of_kind(kind: str) -> str:
    """The class that an `instance of` value stands for: "river of Asia" -> "place"; "any" when
    unknown."""
    head = _OF.sub("", kind.casefold().strip())
    for pattern, name in _PATTERNS:
        if pattern.search(head):
            return name
    return "any"
