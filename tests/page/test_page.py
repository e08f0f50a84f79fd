"""The page in a browser: what a user does, sees, and is told when it goes wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from page.conftest import Open
from page.fake import ORIGINAL, FakeServer

QUESTION, ANSWER = "Who runs Orvane Foods?", "Ida Krol"
HOSTILE = (
    '<img src=x onerror="window.hit=1"><script>window.hit=1</script></textarea>&lt;b&gt; "quoted\''
)


def write_fact(page: Page, question: str = QUESTION, answer: str = ANSWER) -> None:
    page.get_by_label("Question", exact=True).last.fill(question)
    page.get_by_label("Answer", exact=True).fill(answer)
    page.get_by_role("button", name="Write the fact").click()


def ask(page: Page, question: str = QUESTION) -> Locator:
    """The finished exchange."""
    page.locator("#question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    exchange = page.locator(".exchange").last
    expect(exchange.locator(".asked")).to_have_text(question.strip())
    expect(exchange.locator(".growing")).to_have_count(0)
    return exchange


def told(page: Page) -> Locator:
    """The newest message at the top."""
    return page.locator(".notice:not(.connection) p").last


def until(found: Callable[[], bool]) -> None:
    """Wait for the server's side, which no locator sees."""
    for _ in range(1000):
        if found():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen within 20 s")


# -- editing and asking --------------------------------------------------------------------------------


def test_edit_see_both_answers_undo_see_the_old_one(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    expect(page.locator(".facts .model")).to_have_text("smollm2")
    expect(page.locator(".facts .version")).to_have_text("base")
    write_fact(page)
    receipt = page.locator(".receipt")
    expect(receipt).to_contain_text("Written and learned")
    expect(receipt.locator(".before")).to_have_text(ORIGINAL)
    expect(receipt).to_contain_text("9.7·10⁻¹⁴ → 0.93")
    expect(page.locator(".facts .version")).to_have_text("turn 1")

    exchange = ask(page)
    original, edited = exchange.locator(".answer").all()
    expect(original.locator(".text")).to_have_text(ORIGINAL)
    expect(edited.locator(".text")).to_have_text(ANSWER)
    expect(edited.locator("mark")).to_have_text(ANSWER)
    expect(original.locator(".version")).to_have_text("base")
    expect(edited.locator(".version")).to_have_text("turn 1")
    # the target of a known fact is watched without being asked for
    expect(edited.get_by_role("meter", name=f"probability of “{ANSWER}”")).to_have_attribute(
        "aria-valuenow", "0.93"
    )
    expect(original.locator(".watching .value")).to_have_text("9.7·10⁻¹⁴")

    receipt.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo the edit").click()
    expect(told(page)).to_have_text("1 edit undone.")
    expect(page.locator(".facts .version")).to_have_text("base")
    exchange = ask(page)
    expect(exchange.locator(".answer.side-1 .text")).to_have_text(ORIGINAL)
    expect(exchange.locator("mark")).to_have_count(0)
    expect(exchange.locator(".verdict")).to_have_text("Both say the same.")


def test_each_side_remembers_its_own_answers(open_page: Open, server: FakeServer) -> None:
    server.world.write([{"prompt": QUESTION, "target": ANSWER}])
    page = open_page()
    ask(page)
    ask(page, "And where?")
    original, edited = server.world.compared[-1]["messages"]
    assert original == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ORIGINAL},
        {"role": "user", "content": "And where?"},
    ]
    assert edited[1] == {"role": "assistant", "content": ANSWER}
    assert server.world.compared[-1]["models"] == ["smollm2@base", "smollm2"]
    page.get_by_role("button", name="New conversation").click()
    ask(page, "And where?")
    assert server.world.compared[-1]["messages"][0] == [{"role": "user", "content": "And where?"}]


def test_known_answers_are_watched_and_the_users_own_stay(
    open_page: Open, server: FakeServer
) -> None:
    server.world.write([{"prompt": QUESTION, "target": ANSWER, "rephrases": ["Who is at Orvane?"]}])
    page = open_page()
    expect(page.locator(".example")).to_be_visible()
    ask(page)
    ask(page, "who is at Orvane? ")  # a known wording, whatever was asked before
    assert [body.get("target") for body in server.world.compared] == [ANSWER, ANSWER]
    page.locator("#watched").fill("Bo Lindgren")
    ask(page)
    assert server.world.compared[-1]["target"] == "Bo Lindgren"
    ask(page, "And where?")
    assert "target" not in server.world.compared[-1]


def test_a_mark_can_be_asked_in_the_place_of_the_head(open_page: Open, server: FakeServer) -> None:
    server.world.write([{"prompt": QUESTION, "target": ANSWER}])
    server.world.marks["checked"] = 1
    server.world.write([{"prompt": QUESTION, "target": "Bo Lindgren"}])
    page = open_page()
    page.locator("#side-0").select_option("checked")
    exchange = ask(page)
    expect(exchange.locator(".answer.side-0 .text")).to_have_text(ANSWER)
    expect(exchange.locator(".answer.side-1 .text")).to_have_text("Bo Lindgren")


def test_both_answers_stream_and_escape_stops_them(open_page: Open, server: FakeServer) -> None:
    server.world.pace = 0.1
    server.world.answers[QUESTION] = " ".join(f"word{i}" for i in range(200))
    page = open_page()
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    for side in (0, 1):
        expect(page.locator(f".answer.side-{side} .text")).to_contain_text("word2")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".verdict")).to_have_text("Stopped.")
    assert "word150" not in page.locator(".answer.side-1 .text").inner_text()
    expect(page.locator("#send")).to_have_text("Ask")


def test_a_running_turn_is_seen(open_page: Open, server: FakeServer) -> None:
    server.world.turn_seconds = 2.0
    page = open_page()
    expect(page.locator(".facts")).to_contain_text("idle")
    write_fact(page)
    expect(page.locator("#running")).to_contain_text("1 fact, step 2 of 4")
    expect(page.locator(".facts")).to_contain_text("writing")
    expect(page.get_by_role("button", name="Writing …")).to_be_disabled()
    expect(page.locator(".receipt")).to_be_visible()
    expect(page.locator("#running")).to_be_hidden()
    expect(page.locator(".facts")).to_contain_text("idle")


def test_what_others_write_appears_by_itself(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    until(lambda: len(server.world.listeners) == 1)
    answer = server.world.write([{"prompt": QUESTION, "target": ANSWER}])
    server.world.tell({"type": "committed", "turn": answer["turn"]})
    expect(page.locator(".facts .version")).to_have_text("turn 1")
    expect(page.locator(".example")).to_contain_text(QUESTION)


# -- text stays text -----------------------------------------------------------------------------------


def test_hostile_text_stays_text(open_page: Open, server: FakeServer) -> None:
    server.world.answers[HOSTILE] = HOSTILE
    page = open_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    exchange = ask(page, HOSTILE)
    expect(exchange.locator(".answer.side-0 .text")).to_have_text(HOSTILE)
    write_fact(page, HOSTILE, HOSTILE)
    expect(page.locator(".receipt .prompt")).to_have_text(HOSTILE)
    server.world.write([{"prompt": QUESTION, "target": "x"}], level="amber", reasons=[HOSTILE])
    server.world.marks[HOSTILE] = 1
    server.world.hang_up()  # the page comes back and reads everything
    page.locator("#tab-history").click()
    expect(page.locator(".edit .prompt").last).to_have_text(HOSTILE)
    expect(page.locator(".mark strong")).to_have_text(HOSTILE)
    page.locator("#tab-health").click()
    expect(page.locator(".now")).to_contain_text(HOSTILE)
    page.locator("#tab-edit").click()
    page.get_by_role("radio", name="A table").check(force=True)
    page.locator(".pasted").fill(f"prompt\ttarget\n{HOSTILE}\t{HOSTILE}\n{HOSTILE}\t")
    expect(page.locator(".rows .prompt").last).to_contain_text("<img src=x")
    server.world.refusals.append((409, {"message": HOSTILE}, {}))
    page.get_by_label("Leave out").check()
    page.get_by_role("button", name="Write 1 fact").click()
    expect(page.locator("#table .problem")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.locator("body script").count() == 0
    assert page.evaluate("window.hit") is None


# -- without a mouse -----------------------------------------------------------------------------------


def test_keyboard_alone(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    press, text = page.keyboard.press, page.keyboard.type
    expect(page.locator(".facts .model")).to_be_visible()
    press("e")
    text(QUESTION)
    press("Tab")
    text(ANSWER)
    press("Control+Enter")
    expect(page.locator(".receipt")).to_contain_text("Written and learned")
    page.locator("body").evaluate("document.activeElement.blur()")
    press("/")
    text(QUESTION)
    press("Enter")
    expect(page.locator(".answer.side-1 .text")).to_have_text(ANSWER)
    page.locator("body").evaluate("document.activeElement.blur()")
    press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    press("u")  # a dialog has the keys: nothing is undone behind it
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    press("u")
    expect(page.get_by_role("dialog", name="Undo")).to_contain_text(f"“{QUESTION}” → “{ANSWER}”")
    press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert server.world.head == 1
    press("u")
    press("Enter")
    expect(told(page)).to_have_text("1 edit undone.")
    assert server.world.head == 0
    press("Escape")
    expect(page.locator(".notice:not(.connection)")).to_have_count(0)
    page.locator("#tab-edit").focus()
    press("ArrowRight")
    expect(page.locator("#tab-history")).to_be_focused()
    expect(page.locator("#history")).to_be_visible()
    expect(page.locator("#edit")).to_be_hidden()


def test_the_focus_goes_from_top_to_bottom(open_page: Open, server: FakeServer) -> None:
    server.world.write([{"prompt": QUESTION, "target": ANSWER}])
    page = open_page()
    expect(page.locator(".example")).to_be_visible()
    seen = []
    for _ in range(17):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.id.startsWith('field') || !document.activeElement.id"
                " ? document.activeElement.innerText || document.activeElement.tagName"
                " : document.activeElement.id"
            )
        )
    assert seen[:5] == ["Skip to the question", "open-help", "open-key", "theme", "tab-edit"]
    assert seen[5:12] == ["side-0", "side-1", QUESTION, "question", "watched", "fresh", "send"]
    assert seen[12:] == ["INPUT", "TEXTAREA", "INPUT", "TEXTAREA", "Write the fact"]


def test_single_keys_can_be_switched_off(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("?")
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    expect(page.locator("#history")).to_be_hidden()


def test_controls_have_names_and_answers_are_spoken(open_page: Open, server: FakeServer) -> None:
    server.world.write([{"prompt": QUESTION, "target": ANSWER}])
    server.world.marks["checked"] = 0
    page = open_page()
    ask(page)
    expect(page.get_by_role("status").filter(has_text=f"Edited: {ANSWER}")).to_have_count(1)
    for tab in ("edit", "history", "health"):
        page.locator(f"#tab-{tab}").click()
        for control in page.locator(
            "button:visible, input:visible, textarea:visible, select:visible"
        ).all():
            name = control.evaluate(
                "e => e.getAttribute('aria-label') || [...(e.labels ?? [])].map(l => l.innerText).join() || e.innerText"
            )
            assert name.strip(), control.evaluate("e => e.outerHTML")


# -- screens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_nothing_is_wider_than_the_screen(open_page: Open, server: FakeServer, width: int) -> None:
    long = "Donaudampfschiff" * 12
    server.world.answers[long] = long * 2
    server.world.write([{"prompt": long, "target": long}], level="amber", reasons=[long])
    server.world.marks[long[:64]] = 1
    page = open_page(width=width, height=800)
    ask(page, long)
    page.locator("#tab-edit").click()
    write_fact(page, long, long)
    expect(page.locator(".receipt dd strong").first).to_have_text(long)
    assert too_wide(page) == []
    table(page, f"prompt,target\n{long},{long}\n{long},\n")
    for tab in ["ask"] * (width < 980) + ["edit", "history", "health"]:
        page.locator(f"#tab-{tab}").click()
        assert too_wide(page) == [], tab


def too_wide(page: Page) -> list[str]:
    """What is cut off at the right, or makes something scroll sideways."""
    return page.evaluate(
        """() => [
            ...[document.scrollingElement, ...document.querySelectorAll('.panel, .talk, .banner, .notices, .answer')]
                .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1),
            ...[...document.querySelectorAll('button, input:not(.unseen), .answer, .turn, .edit, .receipt, .mark, svg')]
                .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1),
        ].map(e => e.outerHTML.slice(0, 120))"""
    )


def test_dark_is_the_systems_wish_or_the_users(open_page: Open) -> None:
    def ground(page: Page) -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground(open_page(scheme="light"))
    page = open_page(scheme="dark")
    dark = ground(page)
    assert dark != light
    page.locator("#theme").click()
    assert ground(page) == light
    page.reload()
    assert ground(page) == light
    page.locator("#theme").click()
    assert ground(page) == dark


# -- tables --------------------------------------------------------------------------------------------


def table(page: Page, text: str) -> None:
    page.get_by_role("radio", name="A table").check(force=True)
    page.locator(".pasted").fill(text)


def test_a_table_is_checked_row_by_row_before_anything_is_written(
    open_page: Open, server: FakeServer
) -> None:
    page = open_page()
    table(
        page, 'prompt,target\n"Who, then?",Ann\nWho else?,\n,Bo\nWho now?,Cy\nWho now?,Di,extra\n'
    )
    expect(page.locator(".summary")).to_have_text("5 rows: 2 ready, 3 with problems")
    lines = [row.locator("td").all_inner_texts() for row in page.locator(".rows tbody tr").all()]
    assert [(line, how) for line, _, how in lines] == [
        ("3", "has no answer"),
        ("4", "has no question"),
        ("6", "has 3 cells, and there are 2 columns"),
        ("2", "ready"),
        ("5", "ready"),
    ]
    button = page.get_by_role("button", name="Write 2 facts")
    expect(button).to_be_disabled()
    assert server.world.writes == []
    page.get_by_label("Leave out the 3 rows with problems").check()
    page.get_by_label("Facts a turn").fill("1")
    button.click()
    expect(told(page)).to_have_text("2 facts written.")
    assert [edit["prompt"] for edit in server.world.edits] == ["Who, then?", "Who now?"]
    assert server.world.head == 2
    expect(page.locator(".rows .written .how").first).to_have_text("learned, p 0.93")


def test_a_table_that_cannot_be_read_is_a_sentence(open_page: Open) -> None:
    page = open_page()
    for text, said in (
        ("a,b\n1,2", "The first line must name the columns “prompt” and “target”; it reads “a,b”."),
        ('prompt,target\n"open,x', "The quotation mark opened in line 2 is never closed."),
        ("prompt,target\n", "There are columns and no rows."),
        ("[1, 2", "This is not JSON"),
    ):
        table(page, text)
        expect(page.locator("#table .problem")).to_contain_text(said)
        expect(page.get_by_role("button", name="Write", exact=True)).to_be_disabled()


def test_json_lines_and_a_dropped_file(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    table(
        page,
        '{"prompt": "A?", "target": "a", "rephrases": ["AA?"]}\nno\n{"prompt": 3, "target": "b"}',
    )
    expect(page.locator(".rows .wrong .how")).to_have_text(
        ["is not a JSON object", "has a question that is not text"]
    )
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(['question\\tanswer\\nC?\\tc\\n'], 'facts.tsv'));
            const how = {dataTransfer: data, bubbles: true, cancelable: true};
            document.querySelector('.drop').dispatchEvent(new DragEvent('drop', how));
        }"""
    )
    expect(page.locator(".summary")).to_have_text("1 row: 1 ready")
    page.get_by_role("button", name="Write 1 fact").click()
    until(lambda: [edit["target"] for edit in server.world.edits] == ["c"])


def test_rows_the_server_refuses_are_marked(open_page: Open, server: FakeServer) -> None:
    rows = [{"row": 1, "message": "has more tokens than the model's context"}]
    server.world.refusals.append(
        (422, {"message": "1 of 2 edits cannot be written.", "rows": rows}, {})
    )
    page = open_page()
    table(page, "prompt,target\nA?,a\nB?,b\n")
    page.get_by_role("button", name="Write 2 facts").click()
    expect(page.locator("#table .problem")).to_have_text(
        "Nothing was written. 1 of 2 edits cannot be written."
    )
    expect(page.locator(".rows .wrong")).to_contain_text("has more tokens than the model's context")
    assert server.world.edits == []


def test_a_table_says_what_was_written_before_it_was_refused(
    open_page: Open, server: FakeServer
) -> None:
    page = open_page()
    table(page, "prompt,target\nA?,a\nB?,b\nC?,c\n")
    page.get_by_label("Facts a turn").fill("2")
    expect(page.locator(".facts .model")).to_be_visible()
    server.world.turn_seconds = 0.5
    page.get_by_role("button", name="Write 3 facts").click()
    until(lambda: len(server.world.writes) == 1)
    server.world.refusals.append((429, {"message": "full"}, {"Retry-After": "7"}))
    expect(page.locator("#table .problem")).to_have_text(
        "2 facts written before that stay. The server has as much to do as it takes on; try again in 7 s."
    )
    expect(page.get_by_role("button", name="Write 1 fact")).to_be_enabled()


# -- going back ----------------------------------------------------------------------------------------


def test_history_takes_out_marks_and_rolls_back(open_page: Open, server: FakeServer) -> None:
    for at in range(3):
        server.world.write([{"prompt": f"Who is {at}?", "target": f"Name {at}"}])
    page = open_page()
    page.locator("#tab-history").click()
    expect(page.locator(".turn h3")).to_have_text(["Turn 3", "Turn 2", "Turn 1", "Base"])
    page.get_by_role("button", name="Take out edit 2").click()
    dialog = page.get_by_role("dialog", name="Take out edit #2")
    expect(dialog).to_contain_text("Everything after it (1 edit) is written again")
    dialog.get_by_label("At once").check()
    dialog.get_by_role("button", name="Take it out").click()
    expect(told(page)).to_have_text("Edit #2 was taken out (subtract).")
    expect(page.locator(".edit.removed .prompt")).to_have_text("Who is 1?")

    page.get_by_label("Name of the mark").fill("base")
    page.get_by_role("button", name="Mark it").click()
    expect(page.locator("#history .problem")).to_contain_text("found “base”")
    page.get_by_label("Name of the mark").fill("checked")
    page.get_by_role("button", name="Mark it").click()
    expect(page.locator(".mark")).to_contain_text("turn 4")

    page.get_by_role("button", name="Roll back to the base").click()
    page.get_by_role("button", name="Roll back", exact=True).last.click()
    expect(page.locator(".facts .version")).to_have_text("base")
    expect(page.locator(".edit.undone")).to_have_count(3)
    page.get_by_role("button", name="Roll back to the mark checked").click()
    page.get_by_role("button", name="Roll back", exact=True).last.click()
    expect(page.locator(".facts .version")).to_have_text("turn 4")
    page.get_by_role("button", name="Remove the mark checked").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the mark").click()
    expect(page.locator(".mark")).to_have_count(0)

    page.get_by_label("Find").fill("name 2")
    expect(page.locator(".edit .prompt")).to_have_text("Who is 2?")
    assert all(match == f'"{match[1:-1]}"' for _, _, match, _ in server.world.writes if match)


def test_a_long_history_comes_in_parts(open_page: Open, server: FakeServer) -> None:
    for at in range(3):
        server.world.write([{"prompt": f"Turn {at}, {i}?", "target": "x"} for i in range(50)])
    page = open_page()
    page.locator("#tab-history").click()
    expect(page.locator(".edit")).to_have_count(100)
    page.get_by_role("button", name="Show older edits").click()
    expect(page.locator(".edit")).to_have_count(150)
    expect(page.locator(".turn.base")).to_be_visible()


def test_health_curves(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    page.locator("#tab-health").click()
    expect(page.locator(".chart")).to_have_count(4)
    expect(page.locator(".now")).to_contain_text("none has been written yet")
    for at in range(6):
        bad = (
            {"level": "red", "perplexity_ratio": 3.0, "reasons": ["perplexity is 3"]}
            if at == 5
            else {}
        )
        server.world.write([{"prompt": f"Q{at}?", "target": "x"}], **bad)
    server.world.hang_up()
    text = page.get_by_role(
        "img", name="Ordinary text: 3 at turn 6, between 1 and 3 over 6 readings"
    )
    expect(text).to_be_visible()
    expect(text.locator("circle.red")).to_have_count(1)
    expect(text.locator("line.limit")).to_have_count(2)
    expect(page.locator(".now")).to_contain_text("perplexity is 3")
    expect(page.locator(".facts .level")).to_have_text("ill")
    retention = page.locator(".chart", has_text="Retention")
    expect(retention.locator(".readout")).to_have_text("100 %")
    retention.get_by_text("As a table").click()
    expect(retention.locator("tbody tr")).to_have_text("5100 %")


# -- when it goes wrong --------------------------------------------------------------------------------


def test_the_key_is_taken_from_the_address_and_sent(open_page: Open, server: FakeServer) -> None:
    server.world.key = "s3cret"
    page = open_page(address=f"{server.address}/#key=s3cret")
    expect(page.locator(".facts .model")).to_have_text("smollm2")
    assert page.url == f"{server.address}/"
    assert page.evaluate("sessionStorage.getItem('ultraedit-key')") == "s3cret"
    assert page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    write_fact(page)
    expect(page.locator(".receipt")).to_be_visible()


def test_without_a_key_the_page_asks_for_it(open_page: Open, server: FakeServer) -> None:
    server.world.key = "s3cret"
    page = open_page()
    notice = page.locator(".notice.connection")
    expect(notice).to_contain_text(
        "The server asks for a key; give the one it printed when it started."
    )
    notice.get_by_role("button", name="Give the key").click()
    dialog = page.get_by_role("dialog", name="Key")
    dialog.get_by_label("Key").fill("wrong")
    page.keyboard.press("Enter")
    expect(notice).to_contain_text(
        "The server does not take this key; give the one it printed when it started."
    )
    page.locator("#open-key").click()
    dialog.get_by_label("Key").fill("s3cret")
    page.keyboard.press("Enter")
    expect(page.locator(".facts .model")).to_have_text("smollm2")
    expect(notice).to_be_hidden()


REFUSALS: list[tuple[int, dict[str, Any], dict[str, str], str]] = [
    (
        412,
        {},
        {},
        "Somebody else changed the model in the meantime, and nothing was written; what you see now is up to date, "
        "so try again.",
    ),
    (409, {"message": "turn 1 made the model ill."}, {}, "Turn 1 made the model ill."),
    (429, {}, {"Retry-After": "3"}, "The server has as much to do as it takes on; try again in 3 s."),
    (403, {}, {}, "This key may ask but not write; press Key and give the admin’s."),
    (422, {"message": "m", "rows": [{"row": 0, "message": "The answer is empty."}]}, {}, "The answer is empty."),
    (413, {"message": ""}, {}, "That is more than the server takes in one request; send fewer facts a turn."),
    (500, {"message": ""}, {}, "The server answered 500 and gave no reason."),
]  # fmt: skip


def test_a_refusal_is_one_sentence_and_the_form_keeps_its_text(
    open_page: Open, server: FakeServer
) -> None:
    page = open_page()
    for status, error, headers, said in REFUSALS:
        server.world.refusals.append((status, error, headers))
        write_fact(page)
        expect(page.locator("#one .problem")).to_have_text(said)
        expect(page.get_by_label("Answer", exact=True)).to_have_value(ANSWER)
    page.get_by_role("button", name="Write the fact").click()
    expect(page.locator(".receipt")).to_be_visible()
    expect(page.locator("#one .problem")).to_be_hidden()
    keys = {key for *_, key in server.world.writes}
    assert len(server.world.writes) == len(REFUSALS) + 1
    assert len(keys) == 1 and None not in keys  # one wish, one Idempotency-Key
    write_fact(page)
    until(lambda: len(server.world.writes) == len(REFUSALS) + 2)
    assert server.world.writes[-1][3] not in keys  # the same text again is another wish


def test_another_writer_is_noticed_and_the_next_try_is_on_top(
    open_page: Open, server: FakeServer
) -> None:
    page = open_page()
    expect(page.locator(".facts .model")).to_be_visible()
    server.world.write([{"prompt": "Another?", "target": "x"}])  # no event: the page has not heard
    write_fact(page)
    expect(page.locator("#one .problem")).to_contain_text("Somebody else changed the model")
    expect(page.locator(".facts .version")).to_have_text("turn 1")
    page.get_by_role("button", name="Write the fact").click()
    expect(page.locator(".facts .version")).to_have_text("turn 2")


def test_an_empty_form_is_not_sent(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    expect(page.locator(".facts .model")).to_be_visible()
    page.get_by_role("button", name="Write the fact").click()
    expect(page.locator("#one .problem")).to_have_text("Give the question that the fact answers.")
    write_fact(page, answer="  ")
    expect(page.locator("#one .problem")).to_have_text("Give the answer that the model shall give.")
    assert server.world.writes == []


def test_a_server_that_goes_is_told_of_and_found_again(open_page: Open, server: FakeServer) -> None:
    page = open_page()
    expect(page.locator(".facts .model")).to_be_visible()
    port = server.server_address[1]
    server.stop()
    notice = page.locator(".notice.connection")
    expect(notice).to_have_text(
        f"The server at 127.0.0.1:{port} does not answer; the page tries again by itself, and nothing that was "
        "written is lost."
    )
    expect(page.locator(".facts")).to_contain_text("no answer")
    expect(page.get_by_role("button", name="Write the fact")).to_be_disabled()
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(told(page)).to_have_text(
        "The question was not asked, because the server does not answer just now."
    )
    again = FakeServer(port).start()
    try:
        expect(notice).to_be_hidden()
        expect(page.locator(".facts .model")).to_have_text("smollm2")
    finally:
        again.stop()


def test_a_server_that_loads_its_model_is_waited_for(open_page: Open, server: FakeServer) -> None:
    server.world.ready = False
    page = open_page()
    expect(page.locator(".notice.connection")).to_have_text(
        "The server is loading the model; the page goes on as soon as it is ready."
    )
    server.world.ready = True
    expect(page.locator(".facts .model")).to_have_text("smollm2")
    expect(page.locator(".notice.connection")).to_be_hidden()


def test_a_stream_that_breaks_says_so(open_page: Open, server: FakeServer) -> None:
    server.world.pace = 0.05
    server.world.answers[QUESTION] = " ".join(["word"] * 400)
    page = open_page()
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".answer.side-1 .text")).to_contain_text("word word")
    server.world.cut = True
    expect(page.locator(".verdict")).to_have_text(
        re.compile("went away in the middle of its answer")
    )
    expect(page.locator(".answer.side-1 .text")).to_contain_text("word word")
