"""A headless Chromium, and the page open in it on the fake server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from page.fake import FakeServer

INSTALL = "the page is tested in Chromium, which is not on this machine: install it with `apt-get install chromium`"
# milliseconds; a loaded machine is slow, and only a failure waits so long
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail(INSTALL, pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fresh fake server, unedited."""
    server = FakeServer().start()
    yield server
    server.stop()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: FakeServer) -> Iterator[Open]:
    """Opens the page; a complaint in its console (the security policy's too) fails the test at its end."""
    contexts, complaints = [], []

    def opened(
        width: int = 1400, height: int = 900, scheme: str = "light", address: str = ""
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            # a refused request is logged by the browser itself, whatever the page does with it
            lambda message: (
                complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(address or server.address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
