"""Streams a Wikidata JSON dump: one entity a line inside one array, as published (also gzip or
bzip2).

Knows nothing of the benchmark.  Statement ranks, qualifiers and value types as documented at
https://doc.wikimedia.org/Wikibase/master/php/docs_topics_json.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ultraedit.errors import DataError
from ultraeditbench.relations import templates
from ultraeditbench.statements import Label, Triple, open_text

_START = "P580"


def _year(value: dict[str, Any]) -> str | None:
    """ "+1952-03-11T00:00:00Z" -> "1952"; None for years BC and for precisions above a year."""
    if value.get("precision", 0) < 9 or not value["time"].startswith("+"):
        return None
    return value["time"][1:].split("-", 1)[0].lstrip("0") or None


def _value(snak: dict[str, Any]) -> tuple[str | None, str | None]:
    """Id and label of a statement's value; both None for values that are no entity, year, number
    or text."""
    if snak.get("snaktype") != "value":
        return None, None
    data = snak["datavalue"]
    value, kind = data["value"], data["type"]
    if kind == "wikibase-entityid":
        return value.get("id") or f"Q{value['numeric-id']}", None
    if kind == "time":
        return None, _year(value)
    if kind == "quantity":
        return None, value["amount"].lstrip("+")
    if kind == "monolingualtext" and value.get("language") == "en":
        return None, value["text"]
    return None, None


def _statements(subject: str, pid: str, claims: list[dict[str, Any]]) -> Iterator[Triple]:
    live = [claim for claim in claims if claim.get("rank") != "deprecated"]
    # "truthy" statements: the preferred ones where there are any
    best = [claim for claim in live if claim.get("rank") == "preferred"] or live
    dated = any(_START in claim.get("qualifiers", {}) for claim in live)
    # with dates, the older statements are kept: an update needs the value before
    for claim in live if dated else best:
        object_id, label = _value(claim["mainsnak"])
        if object_id is None and label is None:
            continue
        starts = claim.get("qualifiers", {}).get(_START, [])
        times = [s["datavalue"]["value"]["time"] for s in starts if s.get("snaktype") == "value"]
        yield Triple(subject, None, pid, object_id, label, times[0][1:11] if times else None)


def read_dump(path: Path) -> Iterator[Triple | Label]:
    """English labels and the statements of all worded properties.  Raises `DataError` for a line
    that is not JSON."""
    worded = templates()[0]
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            text = line.strip().rstrip(",")
            if text in ("", "[", "]"):
                continue
            try:
                entity = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(f"{str(path)!r}, line {number}: not JSON ({error.msg}).") from error
            name = entity.get("labels", {}).get("en")
            if name:
                yield Label(entity["id"], name["value"])
            if entity.get("type") != "item":
                continue
            for pid, claims in entity.get("claims", {}).items():
                if pid in worded and worded[pid].skip is None:
                    yield from _statements(entity["id"], pid, claims)
