"""Rows of a data set on the Hugging Face hub, streamed: `hf:owner/name:split`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ultraedit.data.sources import Raw
from ultraedit.errors import DataError
from ultraedit.extras import require
from ultraedit.quiet import no_progress_bars

_ID = re.compile(r"hf:(?P<name>[^\s:/]+/[^\s:/]+):(?P<split>[^\s:]+)")


def check_hub(source: str) -> None:
    """Raise DataError for a badly written id, and where the package that reads the hub is not installed."""
    parse_hub_id(source)
    require(repr(source), "hub", DataError)


def parse_hub_id(source: str) -> tuple[str, str]:
    """(`owner/name`, split); `DataError` when the id is not written `hf:owner/name:split`."""
    match = _ID.fullmatch(source)
    if match is None:
        raise DataError(
            f"{source!r} is not a hub data set; write it hf:owner/name:split, e.g. "
            "hf:owner/facts:train"
        )
    return match["name"], match["split"]


def hub_rows(source: str) -> Iterator[Raw]:
    """(row number, row) of the split, one at a time; nothing is downloaded whole."""
    name, split = parse_hub_id(source)
    import datasets

    number = 0
    try:
        with no_progress_bars():
            rows: Any = datasets.load_dataset(name, split=split, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield number, _plain(row)
    except DataError:
        raise
    except Exception as error:
        # `datasets` and the HTTP clients below it raise many kinds without a common base; all mean
        # "not reachable or not there".
        first = (str(error).splitlines() or [type(error).__name__])[0]
        place = f" after row {number}" if number else ""
        raise DataError(
            f"cannot read {source!r} from the hub{place} ({first}); "
            "check the name, the split and the network, or download the file and give its path"
        ) from error


def _plain(row: object) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise DataError(f"the hub gave {type(row).__name__} where a row was expected")
    return row
