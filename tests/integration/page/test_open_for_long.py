"""Pages that stay open while thousands of requests pass: neither they nor the harness become larger."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from benchmarks.harness import SUBMIT, body
from benchmarks.load import post_many
from benchmarks.servers import Server, started
from tests.integration.page.browser import chromium

REQUESTS = 10_000
"""As many as the harness keeps the inputs of, so that only before the first so many are over its memory may grow."""
MAX_MORE_MB = 12
MAX_MORE_HEAP = 1_500_000
DEADLINE = 120_000
TOTALS = {"/_harness/": "SUCCEEDED", "/_harness/page/requests": "All"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started("harness", str(tmp_path)) as server:
        yield server


def submit(server: Server, count: int) -> None:
    """From a thread of its own: Playwright has an event loop in this one."""
    load = post_many(f"{server.url}/{SUBMIT}", body(), count=count, connections=16)
    thread = threading.Thread(target=asyncio.run, args=(load,))
    thread.start()
    thread.join()


def opened(browser: Browser, server: Server, path: str) -> tuple[Page, Callable[[], dict[str, float]]]:
    """A page, and what tells how large it is once all is gone that nobody holds."""
    page = browser.new_page(base_url=server.url, locale="en-US")
    page.goto(path)
    session: CDPSession = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def size() -> dict[str, float]:
        session.send("HeapProfiler.collectGarbage")
        told = session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in told}

    return page, size


def shows(page: Page, path: str, number: int) -> None:
    """Wait until it tells that so many requests there were."""
    tile = page.get_by_role("listitem").filter(has_text=TOTALS[path]).locator(".number")
    expect(tile.first).to_have_text(f"{number:,}", timeout=DEADLINE)


def test_an_open_page_and_the_harness_stay_as_large_as_they_are(server: Server) -> None:
    submit(server, REQUESTS)
    with chromium() as browser:
        pages = {path: opened(browser, server, path) for path in TOTALS}
        submit(server, 200)
        for path, (page, _) in pages.items():
            shows(page, path, REQUESTS + 200)
        before = {path: size() for path, (_, size) in pages.items()}
        memory = server.resident_mb()
        submit(server, REQUESTS)
        for path, (page, _) in pages.items():
            shows(page, path, 2 * REQUESTS + 200)
        after = {path: size() for path, (_, size) in pages.items()}
        more_mb = server.resident_mb() - memory
    more = {
        path: {
            name: after[path][name] - before[path][name]
            for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners")
        }
        for path in TOTALS
    }
    print(f"harness: {more_mb:+.1f} MB; pages: {more}")
    assert more_mb < MAX_MORE_MB
    for grown in more.values():
        assert grown["JSHeapUsedSize"] < MAX_MORE_HEAP
        assert grown["Nodes"] < 500
        assert grown["JSEventListeners"] < 50
