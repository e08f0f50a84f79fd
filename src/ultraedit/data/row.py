"""One raw row and the typed look-ups the forms are written with.

A look-up that fails raises `RowError`: a sentence that names the field, quotes its value and says
what to do.  The reader adds file and line, and either raises it as a `DataError` or counts the row
as unusable.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ultraedit.arguments import quoted
from ultraedit.data.record import Probe


class RowError(Exception):
    """A row that cannot be used; the reader turns it into a `DataError` or counts it.

    The message is kept printable: it quotes column names and values, which may hold anything.
    """

    def __init__(self, message: str) -> None:
        printable = message.encode("utf-8", "backslashreplace").decode("utf-8")
        super().__init__(printable.replace("\r", "\\r").replace("\n", "\\n"))


def quote(value: object, limit: int = 60) -> str:
    """The value as JSON, cut at `limit` characters, for an error message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = quoted(value, limit)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def kind_of(value: object) -> str:
    """The type of a JSON value in a reader's words."""
    for types, name in (
        (bool, "true/false"),
        ((int, float), "a number"),
        (str, "text"),
        (Mapping, "an object"),
        ((list, tuple), "a list"),
        (type(None), "nothing (null)"),
    ):
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"


def is_missing(value: object) -> bool:
    """Absent for our purposes: null, or the NaN that table tools write for null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def has_path(mapping: object, path: str) -> bool:
    """Whether a dotted path exists; `[]` steps into the first item of a list
    (`edits[].new_object`).
    """
    here: Any = mapping
    for step in path.split("."):
        name = step.removesuffix("[]")
        if not isinstance(here, Mapping) or name not in here:
            return False
        here = here[name]
        if step.endswith("[]"):
            if not isinstance(here, (list, tuple)) or not here:
                return False
            here = here[0]
    return True


def check_text(value: object, field: str) -> str:
    """`value` as usable text: a string, not blank, and encodable (no half surrogate pair)."""
    if not isinstance(value, str):
        raise RowError(
            f"field `{field}` must be text, found {kind_of(value)}: {quote(value)}; "
            "put the value in quotes"
        )
    if not value.strip():
        raise RowError(
            f"field `{field}` is empty ({quote(value)}); give it a text or leave the row out"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"field `{field}` holds half of a surrogate pair at character {error.start} "
            f"({quote(ascii(value))}); "
            "write the character as UTF-8 text"
        ) from None
    return value


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row (`data`: column -> JSON value) and where it came from."""

    data: Mapping[str, Any]
    stem: str
    """Name of the file without its suffixes, used for ids."""
    line: int
    shared: dict[str, Any] = field(default_factory=dict)
    """What earlier rows of the same file left for later ones (used by FEVER only)."""
    prefix: str = ""
    """Path of this object inside the row, with a final dot, for messages (`edits[1].`)."""

    def at(self, path: str) -> Any:
        """The value at a dotted path; `RowError` names the columns found if a step is missing."""
        here: Any = self.data
        seen = self.prefix.removesuffix(".")
        for step in path.split("."):
            if not isinstance(here, Mapping) or step not in here:
                place = f" in `{seen}`" if seen else ""
                found = ", ".join(map(str, here)) if isinstance(here, Mapping) else kind_of(here)
                raise RowError(f"column `{step}` is missing{place}; found: {found or 'nothing'}")
            here = here[step]
            seen = f"{seen}.{step}" if seen else step
        return here

    def parts(self, path: str) -> list[Row]:
        """The objects of a list column, each as a row of its own; [] where absent."""
        if not self.has(path):
            return []
        found = []
        for i, item in enumerate(self.items(path)):
            here = f"{self.prefix}{path}[{i}]"
            if not isinstance(item, Mapping):
                raise RowError(f"field `{here}` must be an object, found {kind_of(item)}")
            found.append(Row(item, self.stem, self.line, self.shared, f"{here}."))
        return found

    def kinds(self, path: str) -> tuple[str, ...]:
        """The names inside an optional object of named question lists; () where absent."""
        if not self.has(path):
            return ()
        value = self.at(path)
        if not isinstance(value, Mapping):
            raise RowError(
                f"field `{self.prefix}{path}` must be an object of named question lists, "
                f"found {kind_of(value)}: {quote(value)}"
            )
        return tuple(value)

    def has(self, path: str) -> bool:
        """Whether the path exists and holds something other than null."""
        return has_path(self.data, path) and not is_missing(self.at(path))

    def text(self, path: str) -> str:
        """A required text."""
        return check_text(self.at(path), self.prefix + path)

    def maybe(self, path: str) -> str | None:
        """An optional text: None where absent, null or blank; a wrong type is an error."""
        if not self.has(path):
            return None
        value = self.at(path)
        if isinstance(value, str) and not value.strip():
            return None
        return check_text(value, self.prefix + path)

    def texts(self, path: str) -> tuple[str, ...]:
        """An optional list of texts: () where absent, blanks are dropped.

        One text counts as a list of one; a text that begins with `[` is read as a JSON list, the
        way lists are written in CSV and TSV cells.
        """
        if not self.has(path):
            return ()
        items = self.items(path)
        return tuple(
            check_text(item, f"{path}[{i}]")
            for i, item in enumerate(items)
            if not (is_missing(item) or (isinstance(item, str) and not item.strip()))
        )

    def items(self, path: str) -> list[Any]:
        """The items of a list column or of a JSON list in a text cell; a plain text is one item."""
        value = self.at(path)
        if isinstance(value, str):
            if not value.lstrip().startswith("["):
                return [value] if value.strip() else []
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise RowError(
                    f"field `{path}` looks like a JSON list but is not one ({error}): "
                    f'{quote(value)}; write it as ["a", "b"]'
                ) from None
        if not isinstance(value, (list, tuple)):
            raise RowError(f"field `{path}` must be a list, found {kind_of(value)}: {quote(value)}")
        return list(value)

    def probes(
        self, path: str, kind: str = "", prompt: str = "prompt", answer: str = "ground_truth"
    ) -> tuple[Probe, ...]:
        """Questions at `path`: a list of objects, or one object of two parallel lists.

        `answer` may hold a text, a list of texts or a list of lists of aliases: the first text is
        taken. No answer (null, empty, absent) gives a probe without one: it is only compared before
        and after.  () where the column is absent.
        """
        if not self.has(path):
            return ()
        value = self.at(path)
        pairs = (
            _columns(value, path, prompt, answer)
            if isinstance(value, Mapping)
            else self.items(path)
        )
        found = []
        for i, item in enumerate(pairs):
            here = f"{path}[{i}]"
            if not isinstance(item, Mapping):
                raise RowError(
                    f"field `{here}` must be an object with `{prompt}` and `{answer}`, "
                    f"found {kind_of(item)}: {quote(item)}"
                )
            if prompt not in item:
                raise RowError(
                    f"column `{prompt}` is missing in `{here}`; found: "
                    f"{', '.join(map(str, item)) or 'nothing'}"
                )
            named = item.get("kind")
            found.append(
                Probe(
                    check_text(item[prompt], f"{here}.{prompt}"),
                    first_text(item.get(answer), f"{here}.{answer}"),
                    named if isinstance(named, str) and named else kind,
                )
            )
        return tuple(found)


def first_text(value: object, field: str) -> str | None:
    """The first text of a text, a list or a list of lists; None where there is none."""
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, (list, tuple)):
        for item in value:
            found = first_text(item, field)
            if found is not None:
                return found
        return None
    return check_text(value, field)


def _columns(
    value: Mapping[str, Any], path: str, prompt: str, answer: str
) -> Iterator[dict[str, Any]]:
    """`{"prompt": [..], "ground_truth": [..]}` as a stream of one object a question."""
    for name in (prompt, answer):
        if not isinstance(value.get(name), (list, tuple)):
            raise RowError(
                f"field `{path}` must be a list of objects, or an object whose `{prompt}` and "
                f"`{answer}` are lists; "
                f"found: {quote(value)}"
            )
    if len(value[prompt]) != len(value[answer]):
        raise RowError(
            f"field `{path}` has {len(value[prompt])} `{prompt}` but {len(value[answer])} "
            f"`{answer}`; "
            "give every question one answer (or null)"
        )
    for question, reply in zip(value[prompt], value[answer], strict=True):
        yield {prompt: question, answer: reply}


def fill(template: str, subject: str, field: str) -> str:
    """A template with its `{}` replaced by the subject (other braces are left alone)."""
    if "{}" not in template:
        raise RowError(
            f"field `{field}` must hold {{}} where the subject goes, found {quote(template)}"
        )
    return template.replace("{}", subject)
