from collections.abc import Callable
from datetime import datetime, timezone

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from truss_async.client import HarnessClient, PlatformClient
from truss_async.clock import ManualClock
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver


def test_every_delivery_attempt_of_a_request_is_shown(serve: Callable[..., Harness]) -> None:
    clock = ManualClock(datetime.now(timezone.utc))
    with (
        WebhookReceiver(secrets=(SECRET,), respond_with=[503, 200]) as receiver,
        HarnessClient(serve(clock=clock).url, api_key="any") as client,
    ):
        url = receiver.url
        request_id = client.submit(model_input=1, webhook_endpoint=url).request_id
        receiver.wait_for_count(1)
        clock.advance(2)
        client.wait(request_id, timeout_seconds=30)
        shown = [sent.model_dump(mode="json") for sent in client.deliveries(request_id)]
    assert [(sent["attempt"], sent["status_code"], sent["error"]) for sent in shown] == [
        (1, 503, None),
        (2, 200, None),
    ]
    assert {(sent["request_id"], sent["webhook_endpoint"]) for sent in shown} == {(request_id, url)}
    assert shown[0]["sent_at"] < shown[1]["sent_at"]


def test_without_a_request_the_latest_attempts_are_shown_newest_first(
    client: PlatformClient, http: httpx.Client, receiver: WebhookReceiver
) -> None:
    ids = []
    for number in range(3):
        ids.append(client.submit(model_input=number, webhook_endpoint=receiver.url).request_id)
        client.wait(ids[-1], timeout_seconds=30)
    shown = http.get("/_harness/deliveries").json()["deliveries"]
    assert [sent["request_id"] for sent in shown] == ids[::-1]
    assert all(sent["latency_ms"] > 0 for sent in shown)
    shown = http.get("/_harness/deliveries", params={"limit": 2}).json()["deliveries"]
    assert [sent["request_id"] for sent in shown] == [ids[2], ids[1]]


def test_a_request_without_webhook_has_no_attempts(client: PlatformClient, http: httpx.Client) -> None:
    request_id = client.submit(model_input=1).request_id
    client.wait(request_id, timeout_seconds=30)
    assert http.get("/_harness/deliveries", params={"request_id": request_id}).json() == {"deliveries": []}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1" * 5000])
def test_a_limit_out_of_range_is_refused(http: httpx.Client, limit: str) -> None:
    assert http.get("/_harness/deliveries", params={"limit": limit}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status_code"),
    [
        ("GET", "/_harness/deliveries?request_id=unknown", 404),
        ("GET", "/_harness/nothing", 404),
        ("GET", "/_harness", 404),
        ("POST", "/_harness/deliveries", 405),
    ],
)
def test_what_a_harness_does_not_offer_is_refused(
    http: httpx.Client, method: str, path: str, status_code: int
) -> None:
    assert http.request(method, path).status_code == status_code


def test_the_harnesss_own_calls_need_a_key_too(harness: Harness) -> None:
    assert httpx.get(f"{harness.url}/_harness/deliveries").status_code == 401
