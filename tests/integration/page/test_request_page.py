"""What the page of one request shows: how its webhooks were sent, and what was saved of it, safely."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.page.saved_outputs import picture, save_with_artifacts
from tests.integration.page.visitor import Visitor
from truss_async.harness.harness import Harness
from truss_async.page import saved as saved_module
from truss_async.replicas.logs import ReplicaLogLine
from truss_async.webhooks.receiver import WebhookReceiver

REQUESTS = "/_harness/page/requests"
SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def showing(serve: Callable[..., Harness], outputs: Path) -> Iterator[Harness]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_ASYNC_OUTPUT_URL", outputs.as_uri())
        yield serve(page_payloads=True)


def saved(harness: Harness, outputs: Path, files: dict[str, tuple[str, bytes]]) -> str:
    """A request with these artifacts, each with the type that it is said to have."""
    handle = harness.submit(1)
    handle.wait()
    save_with_artifacts(outputs, handle.request_id, files)
    return handle.request_id


def test_pictures_are_shown_and_what_only_says_that_it_is_one_is_not(showing: Harness, outputs: Path) -> None:
    request_id = saved(
        showing,
        outputs,
        {
            "page.png": ("image/png", picture()),
            "trap.png": ("image/png", SCRIPT),
            "page.html": ("text/html", b"<script>alert(1)</script>"),
        },
    )
    with Visitor(showing) as visitor:
        text = visitor.look(f"{REQUESTS}/{request_id}")
        files = f"{REQUESTS}/{request_id}/artifacts"
        assert f'<img src="{files}/page.png"' in text
        assert f'href="{files}/page.html"' in text
        assert f'<img src="{files}/page.html"' not in text
        shown = visitor.http.get(f"{files}/page.png")
        assert (shown.content, shown.headers["content-type"]) == (picture(), "image/png")
        assert shown.headers["content-disposition"].startswith("inline")
        for name in ("trap.png", "page.html"):
            hidden = visitor.http.get(f"{files}/{name}")
            assert hidden.headers["content-type"] == "application/octet-stream"
            assert hidden.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
            assert hidden.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
            assert hidden.headers["x-content-type-options"] == "nosniff"
        for name in ("none.png", "%2e%2e%2fother", "page.png%00"):
            assert visitor.http.get(f"{files}/{name}").status_code == 404


def test_an_artifact_that_is_too_large_is_not_read_whole(
    showing: Harness, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_module, "MAX_ARTIFACT_BYTES", 20)
    request_id = saved(showing, outputs, {"page.png": ("image/png", picture())})
    with Visitor(showing) as visitor:
        text = visitor.look(f"{REQUESTS}/{request_id}")
        assert f"truss-async results open {request_id}" in text
        assert "<img" not in text
        refused = visitor.http.get(f"{REQUESTS}/{request_id}/artifacts/page.png")
        assert refused.status_code == 404
        assert "larger than 20 bytes" in refused.text


def test_nobody_sees_artifacts_where_outputs_are_not_shown(harness: Harness, visitor: Visitor) -> None:
    handle = harness.submit(1)
    handle.wait()
    refused = visitor.http.get(f"{REQUESTS}/{handle.request_id}/artifacts/page.png")
    assert refused.status_code == 403
    assert "--page-payloads" in refused.text


def test_of_a_request_whose_store_is_not_known_there_are_no_artifacts(
    serve: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUSS_ASYNC_OUTPUT_URL", raising=False)
    harness = serve(page_payloads=True)
    handle = harness.submit(1)
    handle.wait()
    with Visitor(harness) as visitor:
        assert visitor.http.get(f"{REQUESTS}/{handle.request_id}/artifacts/a.png").status_code == 404


def test_the_headers_of_a_delivery_are_shown_and_a_login_is_not(
    harness: Harness, visitor: Visitor, receiver: WebhookReceiver
) -> None:
    endpoint = receiver.url.replace("http://", "http://user:pass-4711@")
    handle = harness.submit(1, webhook_endpoint=endpoint)
    handle.wait()
    text = visitor.look(f"{REQUESTS}/{handle.request_id}")
    assert "X-BASETEN-SIGNATURE: v1=" in text
    assert f"X-BASETEN-REQUEST-ID: {handle.request_id}" in text
    assert "Authorization: Basic …" in text
    assert "pass-4711" not in text
    assert "valid" in text
    (sent,) = [each for each in harness.deliveries if each.request_id == handle.request_id]
    assert sent.request_headers is not None
    assert sent.request_headers["Content-Type"] == "application/json"


def test_a_log_is_followed_without_javascript_too(harness: Harness, visitor: Visitor) -> None:
    handle = harness.submit(1)
    handle.wait()
    path = f"{REQUESTS}/{handle.request_id}"
    assert "?follow=1#log" in visitor.look(path)
    assert "http-equiv" not in visitor.page.text
    line = ReplicaLogLine("replica-1", "half of it is done", request_id=handle.request_id)
    harness._lines.keep(line, at=harness.clock.now())
    followed = visitor.look(f"{path}?follow=1")
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in followed
    assert "data-follows" in followed
    assert "Stop following" in followed


def test_a_request_that_is_not_finished_or_saved_nothing_says_so(showing: Harness) -> None:
    showing.pause()
    handle = showing.submit(1)
    with Visitor(showing) as visitor:
        path = f"{REQUESTS}/{handle.request_id}"
        assert "The request is not finished." in visitor.look(path)
        never_ran = showing.submit(2, webhook_endpoint="http://127.0.0.1:9/")
        never_ran.cancel()
        assert "The request never ran, so nothing is sent." in visitor.look(
            f"{REQUESTS}/{never_ran.request_id}"
        )
        showing.resume()
        handle.wait()
        assert "Nothing was saved for this request: there is no object" in visitor.look(path)
