"""The webhooks page for who writes a receiver: an endpoint tried, a signature checked, results sent again since."""

import html
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pytest

from tests.integration.page.conftest import SECRET
from tests.integration.page.visitor import Visitor
from truss_async.harness.harness import Harness
from truss_async.page.checks import Check, verdict_of
from truss_async.webhooks.receiver import WebhookReceiver
from truss_async.webhooks.signing import signature_header

WEBHOOKS = "/_harness/page/webhooks"
OTHER = "whsec_" + "z9Y8" * 9
NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
EVERYWHERE = "0.0.0.0"  # noqa: S104


def body_at(time: datetime, **changed: object) -> str:
    result = {"request_id": "a1" * 16, "model_id": "m", "deployment_id": "d", "errors": [], "data": {"n": 1}}
    result |= {"type": "async_request_completed", "time": time.isoformat()}
    return json.dumps({**result, **changed})


def test_a_good_endpoint_is_tried_and_passes(visitor: Visitor) -> None:
    with WebhookReceiver(secrets=(SECRET,)) as receiver:
        visitor.look(WEBHOOKS)
        text = visitor.send(f"{WEBHOOKS}/try", url=receiver.url, secrets=SECRET)
    assert "What the endpoint did" in text
    assert "large result" in text
    assert 'data-status="failed"' not in text.partition("What the endpoint did")[2].partition("</section>")[0]
    assert SECRET not in text


def test_an_endpoint_that_is_not_there_and_what_is_none_are_told(visitor: Visitor) -> None:
    for url, secrets, why in (
        ("http://127.0.0.1:9/x", SECRET, "cannot reach http://127.0.0.1:9/x"),
        ("nowhere", SECRET, "nowhere"),
        ("http://127.0.0.1:9/x", " ", "with which secret"),
    ):
        visitor.look(WEBHOOKS)
        assert why in html.unescape(visitor.send(f"{WEBHOOKS}/try", url=url, secrets=secrets))


def test_where_private_targets_are_guarded_none_is_tried(serve: Callable[..., Harness]) -> None:
    harness = serve(host=EVERYWHERE, api_key="the-key")
    with Visitor(harness) as visitor, WebhookReceiver(secrets=(SECRET,)) as receiver:
        visitor.http.base_url = harness.url.replace(EVERYWHERE, "127.0.0.1")
        visitor.look(WEBHOOKS)
        visitor.send("/_harness/page/key", key="the-key")
        for url in (receiver.url, receiver.url.replace("127.0.0.1", "localhost")):
            visitor.look(WEBHOOKS)
            assert "is not public" in visitor.send(f"{WEBHOOKS}/try", url=url, secrets=SECRET)
        assert not receiver.deliveries


def test_a_signature_that_was_pasted_is_checked_with_the_reason(harness: Harness, visitor: Visitor) -> None:
    body = body_at(harness.clock.now())
    header = signature_header(body.encode(), [SECRET])
    visitor.look(WEBHOOKS)
    good = visitor.send(f"{WEBHOOKS}/check", body=body, signature=header, secrets=f"{OTHER}\r\n{SECRET}")
    assert "A receiver accepts this webhook" in good
    bad = visitor.send(f"{WEBHOOKS}/check", body=body, signature=header, secrets=OTHER)
    assert "A receiver refuses this webhook" in bad
    assert "the signature does not match" in bad
    assert OTHER not in bad


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (body_at(NOW), None, [None, None, None]),
        (body_at(NOW) + "\r\n", None, [None, None, None]),
        (body_at(NOW - timedelta(hours=1)), None, [None, None, "too old"]),
        (body_at(NOW, type=None), None, [None, "not an async predict result", None]),
        (body_at(NOW), "", ["is missing", None, None]),
        ("", "v1=0", ["does not match", "not an async predict result", None]),
    ],
)
def test_each_check_has_its_verdict(body: str, header: str | None, expected: list[str | None]) -> None:
    signed = "X-BASETEN-SIGNATURE: " + signature_header(body.strip().encode(), [SECRET])
    found = verdict_of(body, signed if header is None else header, [SECRET], now=NOW)
    assert [each.name for each in found] == ["Signature", "Body", "Age"]
    for each, part in zip(found, expected, strict=True):
        assert (each.problem is None) == (part is None), each
        assert part is None or part in (each.problem or "")


def test_line_ends_of_a_body_count_as_they_were_signed() -> None:
    body = body_at(NOW).replace(", ", ",\r\n")
    header = signature_header(body.encode(), [SECRET])
    assert verdict_of(body, header, [SECRET], now=NOW)[0] == Check("Signature", None)


@pytest.fixture
def undelivered(serve: Callable[..., Harness]) -> Iterator[tuple[Harness, WebhookReceiver]]:
    """One result that failed two hours ago, and one that failed now."""
    harness = serve(keep_results=timedelta(hours=9), virtual_clock=True)
    with WebhookReceiver(secrets=(SECRET,), clock=harness.clock) as receiver:
        receiver.answer_next(*[500] * 4)
        harness.submit(1, webhook_endpoint=receiver.url).wait()
        harness.clock.advance(7200)
        harness.submit(2, webhook_endpoint=receiver.url).wait()
        yield harness, receiver


def test_what_failed_since_is_sent_again_and_the_rest_stays(
    undelivered: tuple[Harness, WebhookReceiver],
) -> None:
    harness, _ = undelivered
    with Visitor(harness) as visitor:
        assert "the latest 2 results" in visitor.look(WEBHOOKS)
        sent = visitor.send(f"{WEBHOOKS}/redeliver", since="1h")
        assert "Results sent again: 1. Accepted: 1." in sent
        assert "the one result" in visitor.look(WEBHOOKS)
