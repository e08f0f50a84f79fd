"""The forms data sets are published in, most particular first: the first one that fits a row is
taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ultraedit.arguments import quoted
from ultraedit.data.forms.base import DataForm
from ultraedit.data.forms.claims import FEVER, FEVER_MEND
from ultraedit.data.forms.plain import PLAIN
from ultraedit.data.forms.questions import (
    COUNTERFACT,
    COUNTERFACT_QNA,
    FLAT,
    HALLUEDITBENCH,
    KGCONV,
    KNOWEDIT,
    QAEDIT,
    ULTRAEDITBENCH,
    WIKIBIGEDIT,
    WIKIBIGEDIT_HUB,
    WIKIBIGEDIT_REQUESTS,
    WISE_TEMPORAL,
    ZSRE,
)
from ultraedit.data.forms.rewrites import (
    COUNTERFACT_REWRITE,
    MQUAKE,
    PEAK,
    PITFALLS,
    PITFALLS_ROUND,
)
from ultraedit.data.forms.texts import EVENT, UNKE, WIKIBIO
from ultraedit.errors import DataError

__all__ = ["FORMS", "DataForm", "form_named", "sniff"]

FORMS: tuple[DataForm, ...] = (
    ZSRE,
    FEVER_MEND,
    FEVER,
    WIKIBIGEDIT_HUB,
    ULTRAEDITBENCH,
    UNKE,
    COUNTERFACT_QNA,
    HALLUEDITBENCH,
    PEAK,
    COUNTERFACT_REWRITE,
    MQUAKE,
    PITFALLS,
    PITFALLS_ROUND,
    WIKIBIO,
    EVENT,
    KGCONV,
    WIKIBIGEDIT_REQUESTS,
    KNOWEDIT,
    WISE_TEMPORAL,
    COUNTERFACT,
    WIKIBIGEDIT,
    FLAT,
    QAEDIT,
    PLAIN,
)


def sniff(row: Mapping[str, Any]) -> DataForm | None:
    """The first form whose needed columns the row has; None when there is none."""
    return next((form for form in FORMS if form.fits(row)), None)


def form_named(name: str) -> DataForm:
    """The form of that name; `DataError` that lists the names otherwise."""
    for form in FORMS:
        if isinstance(name, str) and form.name == name:
            return form
    names = ", ".join(form.name for form in FORMS)
    raise DataError(f"there is no data form {quoted(name)}; use one of: {names}")
