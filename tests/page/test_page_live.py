"""The page on the real server with a tiny model: what the fake server stands for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, expect

import tiny
from page.conftest import Open
from ultraedit.serving.app import build
from ultraedit.serving.keys import Keys
from ultraedit.serving.limits import Limits
from ultraedit.serving.run import listen
from ultraedit.serving.service import Service
from ultraedit.settings import EditSettings
from ultraedit.workspace.config import WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from workspace.made import QUIET

KEY = "an-admin-key-for-tests"
QUESTION, ANSWER = tiny.FACTS[0]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A live server on a fresh workspace, in threads of this process."""
    folder = tmp_path_factory.mktemp("live")
    model, tokenizer = tiny.llama(), tiny.tokenizer(chat=True)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    workspace = create_workspace(
        folder / "ws",
        folder / "base",
        EditSettings(preset="fast", step=0.5, text=tiny.TEXT, form="chat"),
        keep=WorkspaceSettings(health=QUIET),
        loaded=(model, tokenizer),
    )
    keys = Keys.find(None, {"ULTRAEDIT_ADMIN_KEY": KEY}, public=False)
    service = Service(workspace, "tiny", Limits())
    bound = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        build(service, keys),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    service.start()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])))
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    service.stop()
    server.should_exit = True
    thread.join()
    service.join(30)
    workspace.close()


def test_edit_ask_undo_on_the_real_server(open_page: Open, address: str) -> None:
    page = open_page(address=f"{address}/#key={KEY}")
    expect(page.locator(".facts .model")).to_have_text("tiny")
    expect(page.locator(".facts .version")).to_have_text("base")
    page.get_by_label("Question", exact=True).last.fill(QUESTION)
    page.get_by_label("Answer", exact=True).fill(ANSWER)
    page.get_by_role("button", name="Write the fact").click()
    receipt = page.locator(".receipt")
    expect(receipt).to_contain_text("Written")
    expect(receipt.locator(".before")).not_to_be_empty()
    expect(page.locator(".facts .version")).to_have_text("turn 1")

    before, after = probabilities(page)
    assert after > before

    receipt.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo the edit").click()
    expect(page.locator(".notice:not(.connection) p")).to_contain_text("1 edit undone")
    expect(page.locator(".facts .version")).to_have_text("base")
    before, after = probabilities(page)
    assert after == before
    expect(page.locator(".verdict").last).to_have_text("Both say the same.")


def probabilities(page: Page) -> tuple[float, float]:
    """Of the answer, by the original and by the edited model, in a conversation of its own."""
    page.get_by_role("button", name="New conversation").click()
    page.locator("#question").fill(QUESTION)
    page.locator("#watched").fill(ANSWER)
    page.locator("#send").click()
    expect(page.locator(".answer.growing")).to_have_count(0)
    expect(page.locator(".exchange .answer [role=meter]")).to_have_count(2)
    original, edited = (
        float(meter.get_attribute("aria-valuenow") or "nan")
        for meter in page.locator(".exchange .answer [role=meter]").all()
    )
    return original, edited


def test_tables_marks_and_history_on_the_real_server(open_page: Open, address: str) -> None:
    page = open_page(address=f"{address}/#key={KEY}")
    page.get_by_role("radio", name="A table").check(force=True)
    rows = "\n".join(f'"{prompt}",{target}' for prompt, target in tiny.FACTS[1:4])
    page.locator(".pasted").fill(f"prompt,target\n{rows}\n")
    page.get_by_label("Facts a turn").fill("2")
    page.get_by_role("button", name="Write 3 facts").click()
    told = page.locator(".notice:not(.connection) p")
    expect(told.last).to_have_text("3 facts written.")
    page.locator("#tab-history").click()
    newest = page.locator(".turn h3").first.inner_text()
    page.get_by_label("Name of the mark").fill("checked")
    page.get_by_role("button", name="Mark it").click()
    expect(page.locator(".mark", has_text="checked")).to_contain_text(newest.lower())
    number = page.locator(".edit .number").nth(1).inner_text().removeprefix("#")
    page.get_by_role("button", name=f"Take out edit {number}").click()
    page.get_by_role("button", name="Take it out").click()
    expect(told.last).to_contain_text(f"Edit #{number} was taken out")
    page.get_by_role("button", name="Roll back to the mark checked").click()
    page.get_by_role("button", name="Roll back", exact=True).last.click()
    expect(page.locator(".facts .version")).to_have_text(newest.lower())
    page.locator("#tab-health").click()
    expect(page.get_by_role("img", name="Weights moved")).to_be_visible()
    wrong = page.get_by_role("button", name="Key", exact=True)
    wrong.click()
    page.get_by_role("dialog").get_by_label("Key").fill("a-key-that-is-not-one")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.connection")).to_contain_text("does not take this key")
