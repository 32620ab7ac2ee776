"""The pages in a real browser: by mouse, by the keyboard alone, and without JavaScript; for everybody, and for nobody else."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.integration.page.browser import AXE, chromium
from tests.integration.page.conftest import Model
from truss_async.contract import InferenceRetryConfig
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

ONCE = InferenceRetryConfig(max_attempts=1)
REQUESTS = "/_harness/page/requests"
PAGES = ["/_harness/", REQUESTS, "/_harness/page/webhooks", "/_harness/page/results", "/_harness/page/faults"]
MAX_TRANSFERRED = 60_000
SECONDS = 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, harness: Harness) -> Iterator[Callable[..., Page]]:
    """Open a page of the harness in a window of its own; in the end, nothing was blocked, and nobody else was asked."""
    contexts: list[BrowserContext] = []
    said: list[str] = []
    asked: set[str] = set()

    def look(path: str, **options: object) -> Page:
        context = browser.new_context(base_url=harness.url, locale="en-US", **options)  # type: ignore[arg-type]
        context.set_default_timeout(20 * SECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
        page.goto(path)
        return page

    yield look
    for context in contexts:
        context.close()
    assert said == []
    assert asked == {harness.url}


@pytest.fixture
def failed(harness: Harness, model: Model, receiver: WebhookReceiver) -> str:
    """The id of a request that has failed; the model is mended now."""
    model.is_broken = True
    handle = harness.submit({"n": 7}, webhook_endpoint=receiver.url, inference_retry_config=ONCE)
    handle.wait()
    model.is_broken = False
    return handle.request_id


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_a_failed_request_is_found_understood_and_submitted_again_by_mouse(
    opened: Callable[..., Page], failed: str, scripts: bool
) -> None:
    page = opened("/", java_script_enabled=scripts)
    page.get_by_role("link", name="FAILED", exact=False).first.click()
    page.locator(f"#r-{failed}").click()
    expect(page.get_by_label("Error message")).to_have_text("no more memory")
    page.get_by_role("button", name="Submit again").click()
    expect(page.get_by_role("status")).to_contain_text("was submitted again")
    assert failed not in page.url
    if not scripts:
        page.reload()
    expect(page.locator("dl.facts [data-status=SUCCEEDED]")).to_have_count(2)
    expect(page.get_by_text("answered 200")).to_be_visible()


def test_a_failed_request_is_found_understood_and_submitted_again_by_the_keyboard(
    opened: Callable[..., Page], failed: str
) -> None:
    page = opened(f"{REQUESTS}?status=FAILED")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator(f"#r-{failed}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Error message")).to_have_text("no more memory")
    page.keyboard.press("r")
    expect(page.locator("dl.facts [data-status=SUCCEEDED]")).to_have_count(2)
    page.goto(REQUESTS)
    page.keyboard.press("/")
    page.keyboard.type(failed[:8])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{failed}")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_a_waiting_request_is_cancelled_and_a_fault_added_and_removed(
    opened: Callable[..., Page], harness: Harness, scripts: bool
) -> None:
    page = opened("/_harness/", java_script_enabled=scripts)
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.get_by_text("The queue is paused.")).to_be_visible()
    handle = harness.submit(1)
    page.goto(REQUESTS)
    if scripts:
        page.keyboard.press("j")
        page.keyboard.press("c")
    else:
        page.get_by_role("button", name=f"Cancel {handle.request_id[:8]}").click()
    expect(page.get_by_role("status")).to_have_text("The request was canceled.")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Resume the queue").click()
    page.get_by_role("link", name="Faults").click()
    page.get_by_label("What goes wrong").select_option("webhook_dropped")
    page.get_by_role("textbox", name="Times").fill("1")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="times 1")).to_be_visible()
    page.get_by_role("button", name="Remove fault").click()
    expect(page.get_by_text("No fault is set", exact=False)).to_be_visible()


def test_an_open_page_follows_what_happens_and_keeps_the_focus(
    opened: Callable[..., Page], harness: Harness, failed: str
) -> None:
    page = opened(REQUESTS)
    page.keyboard.press("j")
    expect(page.locator(f"#r-{failed}")).to_be_focused()
    handle = harness.submit(1)
    handle.wait()
    expect(page.locator(f"#r-{handle.request_id}")).to_be_visible()
    expect(page.locator(f"#r-{failed}")).to_be_focused()


def test_charts_show_what_happened_and_an_open_one_goes_on(
    opened: Callable[..., Page], harness: Harness
) -> None:
    page = opened("/_harness/")
    harness.submit(1).wait()
    size = page.locator("figure").filter(has_text="Async queue size")
    expect(size.locator(".latest")).to_have_text("0")
    assert page.locator("figure canvas").count() == 7
    page.goto("/_harness/?span=24h")
    expect(page.locator("figure canvas")).to_have_count(7)


@pytest.mark.parametrize(("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_axe_finds_nothing_on_any_page(
    opened: Callable[..., Page], failed: str, scheme: str, rules: dict[str, list[str]]
) -> None:
    page = opened("/_harness/", color_scheme=scheme)
    found = {}
    for path in [*PAGES, f"{REQUESTS}/{failed}"]:
        page.goto(path)
        page.evaluate(AXE.read_text())
        violations = page.evaluate("(rules) => axe.run(rules).then((found) => found.violations)", rules)
        found[path] = [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
    assert {path: each for path, each in found.items() if each} == {}


def test_nothing_is_wider_than_the_smallest_screen(opened: Callable[..., Page], failed: str) -> None:
    page = opened("/_harness/", viewport={"width": 320, "height": 640})
    for path in [*PAGES, f"{REQUESTS}/{failed}"]:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 320, path


def test_the_theme_follows_the_system_until_it_is_chosen(opened: Callable[..., Page]) -> None:
    page = opened("/_harness/", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light").click()
    light = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) == dark


def test_a_page_is_small(opened: Callable[..., Page], harness: Harness) -> None:
    page = opened("/_harness/page/faults")
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: _transferred(answer.all_headers())}))
    page.goto("/_harness/")
    page.wait_for_load_state("load")
    print(json.dumps(sizes, indent=2), sum(sizes.values()))
    assert 20_000 < sum(sizes.values()) < MAX_TRANSFERRED


def _transferred(headers: dict[str, str]) -> int:
    return int(headers.get("content-length", "0"))


def test_a_virtual_clock_is_moved_by_mouse(serve: Callable[..., Harness], browser: Browser) -> None:
    harness = serve(virtual_clock=True)
    before = harness.clock.now()
    context = browser.new_context(base_url=harness.url, locale="en-US")
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="+1h").click()
    expect(page.get_by_role("status")).to_contain_text("was moved by 1h")
    context.close()
    assert (harness.clock.now() - before).total_seconds() >= 3600
