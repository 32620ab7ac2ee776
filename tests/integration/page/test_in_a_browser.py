"""The pages in a real browser: by mouse, by the keyboard alone, and without JavaScript; for everybody, and for nobody else."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from tests.integration.page.browser import AXE, chromium, press_with_the_keyboard, tab_to
from tests.integration.page.conftest import SECRET, Model
from tests.integration.page.saved_outputs import picture, save_with_artifacts
from tests.integration.page.whole_job import WholeJob
from truss_async.client import HarnessClient
from truss_async.contract import InferenceRetryConfig
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

ONCE = InferenceRetryConfig(max_attempts=1)
REQUESTS = "/_harness/page/requests"
PAGES = ["/_harness/", REQUESTS, "/_harness/page/webhooks", "/_harness/page/results", "/_harness/page/faults"]
MAX_TRANSFERRED = 60_000
SECONDS = 1000
TELLS_BLOCKED = """
addEventListener("securitypolicyviolation", (event) => console.error(`blocked: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def harness(serve: Callable[..., Harness], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One for all of it, which shows and keeps what there is to see."""
    batches = tmp_path_factory.mktemp("batches")
    (batches / "broken.ledger").write_text("no ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_ASYNC_OUTPUT_URL", tmp_path_factory.mktemp("outputs").as_uri())
        yield serve(page_payloads=True, keep_results=timedelta(hours=1), batch_dir=batches)


@pytest.fixture
def opened(browser: Browser, harness: Harness) -> Iterator[Callable[..., Page]]:
    """Open a page of the harness in a window of its own; in the end, nothing was blocked, and nobody else was asked."""
    contexts: list[BrowserContext] = []
    said: list[str] = []
    asked: set[str] = set()

    def look(path: str, **options: object) -> Page:
        context = browser.new_context(base_url=harness.url, locale="en-US", **options)  # type: ignore[arg-type]
        context.set_default_timeout(20 * SECONDS)
        context.add_init_script(TELLS_BLOCKED)
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
def pictured(harness: Harness) -> str:
    """The id of a request of which a picture is saved."""
    handle = harness.submit(1)
    handle.wait()
    with HarnessClient(harness.url, api_key="any") as client:
        url = client.request_view(handle.request_id).output_url
    assert url is not None
    folder = Path(url.removeprefix("file://"))
    save_with_artifacts(folder, handle.request_id, {"page.png": ("image/png", picture())})
    return handle.request_id


@pytest.fixture
def failed(harness: Harness, model: Model, receiver: WebhookReceiver) -> str:
    """The id of a request that has failed; the model is mended now."""
    model.is_broken = True
    handle = harness.submit({"n": 7}, webhook_endpoint=receiver.url, inference_retry_config=ONCE)
    handle.wait()
    model.is_broken = False
    return handle.request_id


@pytest.fixture
def whole_job(failed: str, harness: Harness, receiver: WebhookReceiver) -> WholeJob:
    receiver.wait_for(failed)
    receiver.answer_next(404)  # of the next one, for good: only by hand is it sent again
    return WholeJob(failed, harness, receiver)


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_a_failed_request_is_understood_submitted_again_redelivered_and_seen_delivered_by_mouse(
    opened: Callable[..., Page], whole_job: WholeJob, scripts: bool
) -> None:
    page = opened("/", java_script_enabled=scripts)
    page.get_by_role("link", name="FAILED", exact=False).first.click()
    page.locator(f"#r-{whole_job.failed}").click()
    whole_job.sees_why(page)
    page.get_by_role("button", name="Submit again").click()
    whole_job.sees_that_the_new_one_was_refused(page, reloads=not scripts)
    page.get_by_role("button", name="Redeliver").click()
    whole_job.sees_it_delivered(page)


def test_a_failed_request_is_understood_submitted_again_redelivered_and_seen_delivered_by_the_keyboard(
    opened: Callable[..., Page], whole_job: WholeJob
) -> None:
    page = opened(f"{REQUESTS}?status=FAILED")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator(f"#r-{whole_job.failed}")).to_be_focused()
    page.keyboard.press("Enter")
    whole_job.sees_why(page)
    page.keyboard.press("r")
    whole_job.sees_that_the_new_one_was_refused(page)
    press_with_the_keyboard(page, page.get_by_role("button", name="Redeliver"))
    whole_job.sees_it_delivered(page)
    page.goto(REQUESTS)
    page.keyboard.press("/")
    page.keyboard.type(whole_job.failed[:8])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{whole_job.failed}")


def test_a_fault_is_added_and_removed_by_the_keyboard(opened: Callable[..., Page]) -> None:
    page = opened("/_harness/page/faults")
    tab_to(page, page.get_by_label("What goes wrong"))
    page.keyboard.type("webhook_dropped")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="times 1")).to_contain_text("webhook_dropped")
    press_with_the_keyboard(page, page.get_by_role("button", name="Remove fault"))
    expect(page.get_by_text("No faults are set", exact=False)).to_be_visible()


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
    page.get_by_role("textbox", name="How many times").fill("1")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="times 1")).to_be_visible()
    page.get_by_role("button", name="Remove fault").click()
    expect(page.get_by_text("No faults are set", exact=False)).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_all_of_a_filter_is_cancelled_and_what_failed_submitted_again_by_mouse(
    opened: Callable[..., Page], harness: Harness, failed: str, scripts: bool
) -> None:
    harness.pause()
    waiting = [harness.submit(number, priority=2) for number in range(2)]
    page = opened(f"{REQUESTS}?priority=2", java_script_enabled=scripts)
    page.get_by_role("link", name="Cancel all queued requests").click()
    page.get_by_role("button", name="Cancel all 2").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled 2 of 2 requests.")
    assert {each.wait().value for each in waiting} == {"CANCELED"}
    harness.resume()
    page.goto(REQUESTS)
    page.get_by_role("link", name="Submit all failed requests again").click()
    page.get_by_role("button", name=re.compile("Submit .* again")).click()
    expect(page.get_by_role("status")).to_contain_text("again, as new ones")


def test_all_of_a_filter_is_cancelled_by_the_keyboard(opened: Callable[..., Page], harness: Harness) -> None:
    harness.pause()
    waiting = harness.submit(1, priority=1)
    page = opened(f"{REQUESTS}?priority=1")
    press_with_the_keyboard(page, page.get_by_role("link", name="Cancel all queued requests"))
    page.wait_for_url("**/all?*")
    press_with_the_keyboard(page, page.get_by_role("button", name="Cancel it"))
    expect(page.get_by_role("status")).to_have_text("Cancelled 1 of 1 request.")
    assert waiting.wait().value == "CANCELED"
    harness.resume()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_an_endpoint_is_tried_a_signature_checked_and_a_secret_made(
    opened: Callable[..., Page], scripts: bool
) -> None:
    page = opened("/_harness/page/webhooks", java_script_enabled=scripts)
    page.get_by_label("URL").fill("http://127.0.0.1:9/")
    page.get_by_label("Its secrets").fill(SECRET)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot reach")
    page.get_by_label("Body, exactly as received").fill("{}")
    page.get_by_label("X-BASETEN-SIGNATURE").fill("v1=0")
    page.get_by_label("Secrets, one per line").fill(SECRET)
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("status")).to_contain_text("the signature does not match")
    page.get_by_role("button", name="Create a secret").click()
    expect(page.get_by_label("Webhook secret")).to_contain_text("whsec_")


def test_a_picture_that_was_saved_is_seen(opened: Callable[..., Page], pictured: str) -> None:
    page = opened(f"{REQUESTS}/{pictured}")
    page.locator(".artifacts img").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.artifacts img').naturalWidth === 3")
    page.get_by_role("link", name="Follow the log").click()
    expect(page.get_by_text("New lines appear as they are written.")).to_be_visible()


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


@pytest.fixture
def all_pages(failed: str, pictured: str) -> list[str]:
    """Each page that there is, with something on it."""
    question = f"{REQUESTS}/all?action=again"
    saved = f"/_harness/page/results/saved/{pictured}?store=0"
    return [*PAGES, f"{REQUESTS}/{failed}", f"{REQUESTS}/{pictured}?follow=1", question, saved]


def test_axe_finds_nothing_on_any_page_in_either_theme_narrow_or_wide(
    opened: Callable[..., Page], all_pages: list[str]
) -> None:
    page, axe, found = opened("/_harness/"), AXE.read_text(), {}
    for path in all_pages:
        page.goto(path)
        page.evaluate(axe)
        for scheme, width in [("light", 1280), ("dark", 1280), ("dark", 320), ("light", 320)]:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            violations = page.evaluate("axe.run().then((found) => found.violations)")
            nodes = [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
            found[path, scheme, width] = nodes
            assert page.evaluate("document.documentElement.scrollWidth") == width, (path, width)
    assert {which: each for which, each in found.items() if each} == {}


def test_the_theme_follows_the_system_until_it_is_chosen(opened: Callable[..., Page]) -> None:
    page = opened("/_harness/", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light").click()
    light = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) == dark


def test_each_page_is_small(opened: Callable[..., Page], all_pages: list[str]) -> None:
    told: dict[str, int] = {}
    for path in all_pages:
        page = opened("about:blank")  # with nothing kept
        answers: list[Response] = []
        page.on("response", partial(_keep, answers))
        page.goto(path)
        page.wait_for_load_state("load")
        sizes = [_transferred(each.all_headers()) for each in answers if "/artifacts/" not in each.url]
        told[re.sub("[0-9a-f]{32}", "ID", path)] = sum(sizes)
    print(json.dumps(told, indent=2))
    assert max(told.values()) < MAX_TRANSFERRED
    assert told["/_harness/"] > 20_000


def _keep(answers: list[Response], answer: Response) -> None:
    answers.append(answer)


def _transferred(headers: dict[str, str]) -> int:
    return int(headers.get("content-length", "0"))


@pytest.mark.parametrize("by", ["mouse", "keyboard", "mouse, without JavaScript"])
def test_a_virtual_clock_is_moved(serve: Callable[..., Harness], browser: Browser, by: str) -> None:
    harness = serve(virtual_clock=True)
    before = harness.clock.now()
    context = browser.new_context(
        base_url=harness.url, locale="en-US", java_script_enabled="without" not in by
    )
    page = context.new_page()
    page.goto("/")
    button = page.get_by_role("button", name="+1h")
    if by == "keyboard":
        press_with_the_keyboard(page, button)
    else:
        button.click()
    expect(page.get_by_role("status")).to_contain_text("was moved by 1h")
    context.close()
    assert (harness.clock.now() - before).total_seconds() >= 3600
