"""Results that are sent again, by the harness itself: ``serve --keep-results``."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import ValidationError

from tests.integration.harness.conftest import SECRET
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.contract.headers import SIGNATURE
from truss_async.errors import ApiError
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks.receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from truss_async.harness.harness import Harness

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(timezone.utc))


@pytest.fixture
def endpoint(clock: ManualClock) -> Iterator[WebhookReceiver]:
    with WebhookReceiver(secrets=(SECRET,), clock=clock) as receiver:
        yield receiver


@pytest.fixture
def keeping(serve: Callable[..., Harness], clock: ManualClock) -> Harness:
    return serve(clock=clock, keep_results=HOUR)


@pytest.fixture
def caller(keeping: Harness) -> Iterator[HarnessClient]:
    with HarnessClient(keeping.url, api_key="any") as client:
        yield client


def test_a_result_that_was_given_up_is_sent_again_newly_signed_and_dated(
    caller: HarnessClient, endpoint: WebhookReceiver, clock: ManualClock
) -> None:
    endpoint.answer_next(404)
    request_id = caller.submit(model_input=1, webhook_endpoint=endpoint.url).request_id
    assert caller.wait(request_id).status.value == "WEBHOOK_FAILED"
    (failed,) = caller.kept_results(failed=True, since="10m")
    assert (failed.request_id, failed.webhook_endpoint) == (request_id, endpoint.url)
    assert failed.erase_at - failed.over_at == HOUR
    caller.create_webhook_secret()
    clock.advance(minutes=30)
    made = caller.redeliver(request_id[:8])
    assert (made.attempt, made.status_code, made.webhook_endpoint) == (2, 200, endpoint.url)
    first, second = endpoint.wait_for_count(2)
    assert first.result is not None
    assert second.result is not None
    assert second.result.data == first.result.data
    assert second.result.time - first.result.time == timedelta(minutes=30)
    assert [each.headers[SIGNATURE.lower()].count("v1=") for each in (first, second)] == [1, 2]
    assert caller.status(request_id).status.value == "SUCCEEDED"
    assert caller.kept_results(failed=True) == []
    assert [each.attempt for each in caller.deliveries(request_id)] == [1, 2]


def test_it_goes_to_another_url_also_without_a_webhook_endpoint_of_its_own(
    keeping: Harness, caller: HarnessClient, endpoint: WebhookReceiver
) -> None:
    request_id = caller.submit(model_input=1).request_id
    caller.wait(request_id)
    with pytest.raises(ApiError, match="no webhook endpoint; give a URL"):
        caller.redeliver(request_id)
    made = keeping.redeliver(request_id, to=endpoint.url)
    assert (made.attempt, made.status_code, made.webhook_endpoint) == (1, 200, endpoint.url)
    assert endpoint.wait_for(request_id).result.errors == []
    status = caller.status(request_id)
    assert (status.status.value, status.webhook_status.value) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert [each.webhook_endpoint for each in caller.deliveries(request_id)] == [endpoint.url]


def test_who_asks_is_told_what_came_of_it_and_nothing_is_repeated(
    caller: HarnessClient, endpoint: WebhookReceiver, clock: ManualClock
) -> None:
    request_id = caller.submit(model_input=1, webhook_endpoint=endpoint.url).request_id
    caller.wait(request_id)
    endpoint.answer_next(503)
    assert caller.redeliver(request_id).status_code == 503
    clock.advance(60)
    assert len(endpoint.deliveries) == 2
    assert caller.status(request_id).status.value == "SUCCEEDED"
    gone = caller.redeliver(request_id, to="http://127.0.0.1:9/")
    assert (gone.attempt, gone.status_code) == (3, None)
    assert gone.error


def test_it_is_erased_for_certain_when_its_time_is_over_by_the_clock_of_the_harness(
    caller: HarnessClient, endpoint: WebhookReceiver, clock: ManualClock, tmp_path: Path
) -> None:
    request_id = caller.submit(model_input={"text": "OUTPUT-9c1d"}, webhook_endpoint=endpoint.url).request_id
    caller.wait(request_id)
    database = tmp_path / "state" / "queue.sqlite3"
    clock.advance(hours=0.999)
    assert caller.redeliver(request_id).status_code == 200
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM kept_results").fetchone() == (1,)
    clock.advance(hours=0.001)
    with pytest.raises(
        ApiError, match=r"no result of .* is kept; start the harness with --keep-results 1h"
    ) as caught:
        caller.redeliver(request_id)
    assert caught.value.status_code == 404
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM kept_results").fetchone() == (0,)


def test_a_restart_keeps_what_is_kept(
    serve: Callable[..., Harness], clock: ManualClock, endpoint: WebhookReceiver
) -> None:
    with ExitStack() as first:
        harness = serve(clock=clock, keep_results=HOUR)
        client = first.enter_context(HarnessClient(harness.url, api_key="any"))
        request_id = client.submit(model_input=1, webhook_endpoint=endpoint.url).request_id
        client.wait(request_id)
        harness.close()
    with HarnessClient(serve(clock=clock).url, api_key="any") as client:
        assert client.redeliver(request_id).status_code == 200
        clock.advance(hours=1)
        assert client.kept_results() == []
    assert len(endpoint.deliveries) == 2


def test_without_the_option_a_result_is_erased_at_delivery(
    harness: Harness, receiver: WebhookReceiver, http: httpx.Client
) -> None:
    with HarnessClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        client.wait(request_id, timeout_seconds=30)
        assert client.kept_results() == []
    answer = http.post(f"/_harness/requests/{request_id}/redeliver")
    assert answer.status_code == 404
    assert "--keep-results" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"webhook_endpoint": "http://example.com/hook"}, "webhook_endpoint: must use https"),
        ({"to": "https://example.com"}, "to"),
    ],
)
def test_where_it_cannot_go_is_refused(
    caller: HarnessClient, keeping: Harness, body: dict[str, str], message: str
) -> None:
    request_id = caller.submit(model_input=1).request_id
    caller.wait(request_id)
    answer = httpx.post(
        f"{keeping.url}/_harness/requests/{request_id}/redeliver",
        json=body,
        headers={"Authorization": "Api-Key any"},
    )
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize("query", ["delivery=all", "since=yesterday", "limit=0"])
def test_a_list_that_cannot_be_made_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get(f"/_harness/kept_results?{query}").status_code == 400


@pytest.mark.parametrize(
    ("given", "message"), [("0s", "greater than"), ("soon", "not a duration"), ("500d", "366")]
)
def test_a_time_to_keep_results_is_a_duration(given: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HarnessSettings(model_url="http://127.0.0.1:1", keep_results=given)
