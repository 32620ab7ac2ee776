"""Pictures of every page, light and dark, at three widths: of a harness that is empty, one that is busy, one that is broken.

``python -m tests.integration.page.screenshots FOLDER [FOLDER-OF-THE-DOCS]`` (``make screenshots``). The second gets, small, the
pictures that the documentation shows.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.integration.harness.model_server import Answer, ModelServer
from tests.integration.page.browser import chromium
from tests.integration.page.conftest import SECRET
from tests.integration.page.saved_outputs import picture, save_with_artifacts
from truss_async.contract import InferenceRetryConfig
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.logs import ReplicaLogLine
from truss_async.webhooks.receiver import WebhookReceiver

WIDTHS = (320, 1280, 3840)
HEIGHTS = {320: 900, 1280: 860, 3840: 2000}
ONCE = InferenceRetryConfig(max_attempts=1)
PAGES = {
    "overview": "/_harness/",
    "requests": "/_harness/page/requests",
    "webhooks": "/_harness/page/webhooks",
    "results": "/_harness/page/results",
    "faults": "/_harness/page/faults",
}
SHOWN_BY_DOCS = (
    "busy-overview-light-1280",
    "busy-requests-light-1280",
    "busy-request-dark-1280",
    "busy-artifacts-light-1280",
    "busy-check-dark-1280",
)
COLOURS = 128
TRACEBACK = """CUDA out of memory. Tried to allocate 2.00 GiB
Traceback (most recent call last):
  File "/app/model/model.py", line 41, in predict
    return self._pipeline(**model_input)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"""


def answer(model_input: object) -> Answer:
    """Every seventh document is too much for this model."""
    if isinstance(model_input, dict) and model_input.get("page", 0) % 7 == 3:
        return Answer(500, json.dumps({"error": TRACEBACK}).encode())
    return Answer(body=json.dumps({"text": "…"}).encode())


@contextmanager
def harness(state: str, folder: Path) -> Iterator[Harness]:
    """Empty, busy or broken."""
    with ExitStack() as running:
        model = running.enter_context(ModelServer(answer))
        receiver = running.enter_context(WebhookReceiver(secrets=(SECRET,)))
        settings = HarnessSettings(
            model_url="http://127.0.0.1:9" if state == "broken" else model.url,
            model_id="ocr",
            port=0,
            state_dir=folder / state,
            webhook_secrets=(SECRET,),
            keep_results=timedelta(hours=1),
            quiet=True,
            page_payloads=True,
            batch_dir=folder,
        )
        outputs = folder / f"{state}-outputs"
        outputs.mkdir()
        os.environ["TRUSS_ASYNC_OUTPUT_URL"] = outputs.as_uri()
        made = running.enter_context(Harness(settings, report=lambda line: None))
        httpx.get(f"{made.url}/_harness/page/history").raise_for_status()  # it begins with who looks
        if state != "empty":
            fill(made, receiver, state)
        if state == "busy":
            save(made, outputs, folder)
        yield made


def fill(harness: Harness, receiver: WebhookReceiver, state: str) -> None:
    """Requests of every kind."""
    if state == "broken":
        for page in range(30):
            harness.submit({"page": page}, webhook_endpoint=receiver.url, max_time_in_queue_seconds=10)
        return
    receiver.answer_next(*[500, 503, None] * 3)
    handles = [
        harness.submit(
            {"page": page}, webhook_endpoint=receiver.url, priority=page % 3, inference_retry_config=ONCE
        )
        for page in range(60)
    ]
    for handle in handles:
        handle.wait()
    for handle in handles:
        line = f"page rendered in {len(handle.request_id)} ms"
        harness._lines.keep(
            ReplicaLogLine("replica-1", line, request_id=handle.request_id), at=harness.clock.now()
        )
    harness.pause()
    for page in range(4):
        harness.submit({"page": page}, webhook_endpoint=receiver.url)
    harness.submit({"page": 9}).cancel()


def save(harness: Harness, outputs: Path, batches: Path) -> None:
    """What models have saved: pages as pictures, and a batch."""
    harness.resume()
    handle = harness.submit({"page": 1})
    handle.wait()
    sizes = {"page-1.png": ("#d8e2f3", 280), "page-2.png": ("#f3e2d8", 180)}
    files = {name: ("image/png", picture((200, height), colour)) for name, (colour, height) in sizes.items()}
    save_with_artifacts(outputs, handle.request_id, {**files, "text.txt": ("text/plain", b"hello")})
    lines = batches / "invoices.jsonl"
    lines.write_text("".join(json.dumps({"page": number}) + "\n" for number in range(12)))
    command = f"{Path(sys.executable).with_name('truss-async')} batch run {lines} --no-progress"
    more = f"--out {batches}/invoices-out.jsonl --url {harness.url}"
    subprocess.run(f"{command} {more}".split(), check=False, capture_output=True)  # a line of it fails
    harness.pause()
    harness.submit({"page": 1})
    harness.submit({"page": 2})


def take(browser: Browser, harness: Harness, state: str, folder: Path) -> None:
    """Pictures of all its pages."""
    for theme in ("light", "dark"):
        for width in WIDTHS:
            context = browser.new_context(
                base_url=harness.url,
                locale="en-US",
                color_scheme="dark" if theme == "dark" else "light",
                viewport={"width": width, "height": HEIGHTS[width]},
            )
            page = context.new_page()
            for name, path in PAGES.items():
                page.goto(path)
                if name == "overview":
                    page.locator(".latest:not(:empty)").nth(3).wait_for()
                page.screenshot(path=folder / f"{state}-{name}-{theme}-{width}.png")
            page.goto(f"{PAGES['requests']}{'?status=FAILED' if state == 'busy' else ''}")
            if page.locator("table a.row-link").count():
                page.locator("table a.row-link").first.click()
                page.wait_for_url("**/requests/*")
                page.screenshot(path=folder / f"{state}-request-{theme}-{width}.png", full_page=True)
            if state == "busy":
                take_more(page, f"{theme}-{width}", folder)
            context.close()


def take_more(page: Page, which: str, folder: Path) -> None:
    """What is there only once somebody has done something."""
    page.goto(PAGES["results"])
    page.get_by_role("link", name="Output of").first.click()
    page.screenshot(path=folder / f"busy-saved-{which}.png")
    page.get_by_role("link", name="The request").click()
    page.locator(".artifacts img").last.scroll_into_view_if_needed()
    page.screenshot(path=folder / f"busy-artifacts-{which}.png")
    page.goto(f"{PAGES['requests']}/all?action=cancel")
    page.screenshot(path=folder / f"busy-question-{which}.png")
    page.goto(PAGES["webhooks"])
    page.get_by_label("Body, exactly as received").fill("{}")
    page.get_by_label("X-BASETEN-SIGNATURE").fill("v1=0")
    page.get_by_label("Secrets, one per line").fill(SECRET)
    page.get_by_role("button", name="Check it").click()
    page.get_by_role("status").wait_for()
    page.screenshot(path=folder / f"busy-check-{which}.png")


def main(folder: Path, docs: Path | None = None) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as states, chromium() as browser:
        for state in ("empty", "busy", "broken"):
            with harness(state, Path(states)) as made:
                take(browser, made, state, folder)
    if docs is None:
        return
    docs.mkdir(parents=True, exist_ok=True)
    for name in SHOWN_BY_DOCS:
        with Image.open(folder / f"{name}.png") as picture:
            small = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
            small.save(docs / f"{'-'.join(name.split('-')[:2])}.png", optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
