"""A real, headless Chromium: the one that ``make install`` brings, or the one that the variable CHROMIUM names."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

BROUGHT = Path(sys.prefix) / "browser"
AXE = BROUGHT / "axe.min.js"
NOT_SANDBOXED = ["--no-sandbox", "--no-zygote", "--disable-gpu"]  # a container's root may have no sandbox
MOST_TABS = 100
HAS_THE_FOCUS = "(node) => node === document.activeElement"


@contextmanager
def chromium() -> Iterator[Browser]:
    """It runs as long as it is needed.

    Raises:
        FileNotFoundError: there is none.
    """
    path, environment = Path(os.environ.get("CHROMIUM") or BROUGHT / "chromium"), dict(os.environ)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is no Chromium; run `make install`, or set CHROMIUM=/path/to/chromium"
        )
    if path.parent == BROUGHT:
        environment["LD_LIBRARY_PATH"] = str(BROUGHT / "lib")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=NOT_SANDBOXED, env=dict(environment.items())
        )
        try:
            yield browser
        finally:
            browser.close()


def tab_to(page: Page, wanted: Locator) -> None:
    """Go there as who has no mouse does: from one thing to the next."""
    for _ in range(MOST_TABS):
        if wanted.evaluate(HAS_THE_FOCUS):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{MOST_TABS} tabs do not lead to {wanted}")


def press_with_the_keyboard(page: Page, wanted: Locator) -> None:
    """Go there, and press it."""
    tab_to(page, wanted)
    page.keyboard.press("Enter")
