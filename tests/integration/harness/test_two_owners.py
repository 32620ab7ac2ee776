"""Two harnesses on one queue that has leases: what one leaves, the other finishes."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate, outcome
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.contract import InferenceRetryConfig, RequestStatus
from truss_async.harness import kept_state
from truss_async.harness.harness import Harness
from truss_async.harness.request_queue import AcceptedRequest, NewRequest, SqliteRequestQueue
from truss_async.webhooks.receiver import WebhookReceiver

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
LEASE = timedelta(seconds=15)
IMPATIENT = 0.05


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def receiver(clock: ManualClock) -> Iterator[WebhookReceiver]:
    with WebhookReceiver(secrets=(SECRET,), clock=clock) as receiver:
        yield receiver


@pytest.fixture
def queue_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The queue that all harnesses share, whatever their state folders."""
    file = tmp_path / "shared.sqlite3"

    def opened(_path: Path, **options: Any) -> SqliteRequestQueue:
        return SqliteRequestQueue(file, lease_seconds=LEASE.total_seconds(), **options)

    monkeypatch.setattr(kept_state, "SqliteRequestQueue", opened)
    return file


@pytest.mark.usefixtures("queue_file")
def test_what_a_harness_works_on_when_it_stops_is_finished_by_another_before_the_lease_would_have_ended(
    serve: Callable[..., Harness],
    clock: ManualClock,
    gate: Gate,
    receiver: WebhookReceiver,
    tmp_path: Path,
) -> None:
    one = serve(clock=clock, state_dir=tmp_path / "one")
    with HarnessClient(one.url, api_key="any") as client:
        request_id = client.submit(model_input="held", webhook_endpoint=receiver.url).request_id
    assert gate.entered.acquire(timeout=30)
    two = serve(clock=clock, state_dir=tmp_path / "two", adopt=True)
    clock.advance(seconds=1, patience_seconds=IMPATIENT)
    assert not gate.entered.acquire(blocking=False), "while one lives, it is his"
    one.close()
    clock.advance(LEASE.total_seconds() / 3, patience_seconds=IMPATIENT)
    assert gate.entered.acquire(timeout=30)
    gate.opened.set()
    assert receiver.wait_for(request_id).result.data == {"echo": "held"}
    clock.advance()
    with HarnessClient(two.url, api_key="any") as client:
        assert outcome(client.status(request_id)) == ("SUCCEEDED", "SUCCEEDED")


def test_what_a_dead_owner_held_is_taken_over_when_its_lease_ends(
    serve: Callable[..., Harness],
    clock: ManualClock,
    receiver: WebhookReceiver,
    queue_file: Path,
    tmp_path: Path,
) -> None:
    asyncio.run(leave(queue_file, "local1", receiver.url))
    harness = serve(clock=clock, state_dir=tmp_path / "one", adopt=True)
    harness.wait_ready()
    clock.advance(LEASE.total_seconds() - 1)
    assert [delivery.request_id for delivery in receiver.deliveries] == ["queued"]
    clock.advance(LEASE.total_seconds())
    assert receiver.wait_for("inferred").result.data == {"echo": 1}
    assert receiver.wait_for("delivered").result.data == "an output"
    with HarnessClient(harness.url, api_key="any") as client:
        assert outcome(client.status("inferred")) == ("SUCCEEDED", "SUCCEEDED")
        assert outcome(client.status("delivered")) == ("SUCCEEDED", "SUCCEEDED")


def test_what_a_dead_owner_queued_expires_for_the_others(
    serve: Callable[..., Harness], clock: ManualClock, queue_file: Path, tmp_path: Path
) -> None:
    harness = serve(clock=clock, state_dir=tmp_path / "one")
    harness.wait_ready()
    clock.advance()
    asyncio.run(leave(queue_file, "of another harness", "https://example.com"))
    clock.advance(minutes=11)
    with HarnessClient(harness.url, api_key="any") as client:
        assert outcome(client.status("queued")) == ("EXPIRED", "CANCELED")


async def leave(file: Path, deployment_id: str, endpoint: str) -> None:
    """As one that is killed while it infers one request and delivers the result of another, and one more is queued."""
    queue = SqliteRequestQueue(file, now=START, lease_seconds=LEASE.total_seconds())
    for request_id in ("delivered", "inferred", "queued"):
        accepted = AcceptedRequest("local", None, endpoint, InferenceRetryConfig())
        expires_at = START + timedelta(minutes=10)
        await queue.enqueue(NewRequest(request_id, deployment_id, accepted, b"1", 0, START, expires_at))
    assert len(await queue.claim(deployment_id, limit=2, now=START)) == 2
    assert await queue.finish(
        "delivered",
        RequestStatus.SUCCEEDED,
        attempts=1,
        data=b'"an output"',
        errors=[],
        now=START,
        is_claimed=True,
    )
    await queue.close()
