"""The page: whole, offline, unique ids, the unedited row first, text escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from ultraedit.evaluation.report import limits, number, render, write_report
from ultraedit.evaluation.schema import Checkpoint

from .made import a_result, fig, with_chat

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting; collects ids, references and the text of the first table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._take(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self._take(dict(attrs))

    def _take(self, attrs):
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.links += [v for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(v or "" for v in attrs.values()))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render(a_result(orders=2))


def test_page_is_well_formed_and_offline(page):
    parsed = Page(page)
    assert parsed.open == []
    assert "script" not in parsed.names
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.links
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert parsed.names.count("svg") == 5


def test_pictures_take_the_pages_colours(page):
    assert "prefers-color-scheme: dark" in page
    for stand_in in ("#010203", "#040506", "#070809", "#0a0b00"):
        assert stand_in not in page
    assert "var(--c0)" in page


def test_the_unedited_row_stands_first(page):
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    names = re.findall(r"</span>\s*(\w+)</th>", table)
    assert names == ["unedited", "default", "paper"]
    assert "0.177" in table


def test_orders_are_pooled(page):
    result = a_result(orders=2)
    values = [
        run.checkpoints[-1].figures["efficacy.token_accuracy"].value
        for run in result.runs
        if run.preset == "paper"
    ]
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert number(sum(values) / 2) in table.rpartition("paper")[2]


def test_text_of_models_is_escaped(page):
    assert "&lt;River&gt; &amp; its basin" in page
    assert "<River>" not in page


def test_ten_side_effects_a_preset(page):
    assert page.count('<td class="number">4.20</td>') == 2
    assert page.count("nq question") == 20


def test_an_eval_without_pictures(tmp_path):
    run = a_result(presets=("default",)).runs[0]
    bare = run.model_copy(
        update={
            "checkpoints": [Checkpoint(edits=10, figures={"efficacy.token_accuracy": fig(0.5)})],
            "retention": [],
            "pace": [],
            "modules": [],
            "samples": [],
            "side_effects": [],
        }
    )
    result = a_result().model_copy(update={"kind": "eval", "runs": [bare]})
    write_report(tmp_path / "report.html", result)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" not in page
    assert "What these numbers do not show" in page
    assert "Retention" not in page


def test_ability_has_its_table():
    result = a_result(presets=("default",))
    run = result.runs[0].model_copy(update={"ability": {"gsm8k.exact_match": fig(0.0125)}})
    page = render(
        result.model_copy(
            update={"runs": [run], "unedited_ability": {"gsm8k.exact_match": fig(0.025)}}
        )
    )
    assert "General ability</h2>" in page
    assert "gsm8k.exact_match" in page
    assert not any(
        "not measured" in line for line in limits(result.model_copy(update={"runs": [run]}))
    )


def test_the_chat_has_its_section():
    result = with_chat(a_result())
    page = render(result)
    parsed = Page(page)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.names.count("svg") == 6
    section = page[page.index("What is left of the chat</h2>") : page.index("Retention</h2>")]
    said = " ".join(re.sub("<[^>]*>", " ", section).split())
    assert "answers 40 rightly; 36 of these are still right, and 38 are right now" in said
    assert "What is the capital of &lt;Poland&gt;?" in section
    assert "copies “Lirosk”" in section
    assert "yes → no" in section
    assert "this template takes no system message" in section
    assert "right kept" in page[: page.index("What these numbers do not show")]
    assert not any("--chat" in line for line in limits(result))


def test_without_a_chat_it_says_so():
    result = a_result()
    assert "What is left of the chat</h2>" not in render(result)
    assert any("--chat measures them" in line for line in limits(result))


def test_same_result_same_bytes(page):
    assert render(a_result(orders=2)) == page


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9061, "0.906"), (58.72, "58.7"), (1234.4, "1,234"), (2.345, "2.35"), (1e9, "1.00e+09")],
)
def test_number(value, text):
    assert number(value) == text
