"""Webhook endpoints of every kind: slow ones, HTTPS ones, and what the schedule makes of failing ones."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import aiohttp
import pytest

from tests.integration.harness.certificates import Authority
from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import outcome
from tests.integration.harness.model_server import ModelServer
from truss_async.client import HarnessClient
from truss_async.clock import SYSTEM_CLOCK, ManualClock, within
from truss_async.contract import InferenceRetryConfig, RequestStatus, WebhookStatus
from truss_async.errors import HarnessError
from truss_async.harness.activity import Activity
from truss_async.harness.decisions import DeliveryPolicy
from truss_async.harness.delivery import Delivery, webhook_tls
from truss_async.harness.delivery_slots import MAX_IN_FLIGHT_PER_ENDPOINT
from truss_async.harness.faults import Faults
from truss_async.harness.harness import Harness
from truss_async.harness.metrics import Metrics
from truss_async.harness.request_queue import AcceptedRequest, NewRequest, SqliteRequestQueue
from truss_async.webhooks.receiver import WebhookReceiver

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MANY = 1100


class SlowEndpoint:
    """Answers nothing before it is let go; tells how many requests waited at once."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.is_full = asyncio.Event()
        self.waiting = 0
        self.answered = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await self._head(reader):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                self.waiting += 1
                if self.waiting == MAX_IN_FLIGHT_PER_ENDPOINT:
                    self.is_full.set()
                await self.let_go.wait()
                self.answered += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        finally:
            writer.close()

    @staticmethod
    async def _head(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""


async def finished(queue: SqliteRequestQueue, request_id: str, endpoint: str) -> None:
    """A request whose result is to be delivered there."""
    request = NewRequest(
        request_id=request_id,
        deployment_id="d1",
        accepted=AcceptedRequest("m1", None, endpoint, InferenceRetryConfig()),
        model_input=b"1",
        priority=0,
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=10),
    )
    await queue.enqueue(request)
    await queue.claim("d1", limit=1, now=NOW)
    await queue.finish(request_id, RequestStatus.SUCCEEDED, attempts=1, data=b"1", errors=[], now=NOW)


async def until_delivered(queue: SqliteRequestQueue, request_id: str) -> None:
    while True:
        record = await queue.record(request_id)
        if record is not None and record.status.webhook_status is WebhookStatus.SUCCEEDED:
            return


def test_an_endpoint_that_hangs_does_not_delay_the_others(tmp_path: Path, reports: list[str]) -> None:
    async def scenario(receiver: WebhookReceiver) -> None:
        activity = Activity(ManualClock(NOW))  # it stands still: what hangs, hangs until it is let go
        slow = SlowEndpoint()
        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        queue = SqliteRequestQueue(tmp_path / "queue.sqlite3", now=NOW)
        await asyncio.gather(*(finished(queue, f"slow-{number}", endpoint) for number in range(MANY)))
        await finished(queue, "fast", receiver.url)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            delivery = Delivery(
                queue=queue,
                signing=lambda: [SECRET],
                policy=DeliveryPolicy(),
                tls=webhook_tls(None),
                session=session,
                activity=activity,
                metrics=Metrics([]),
                faults=Faults(clock=ManualClock(NOW), report=reports.append),
                report=reports.append,
            )
            running = activity.start(delivery.run())
            await until_delivered(queue, "fast")
            await slow.is_full.wait()
            assert (slow.waiting, slow.answered) == (MAX_IN_FLIGHT_PER_ENDPOINT, 0)
            slow.let_go.set()
            for number in range(MANY):
                await until_delivered(queue, f"slow-{number}")
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert (slow.answered, reports) == (MANY, [])
        server.close()
        await server.wait_closed()
        await queue.close()

    with WebhookReceiver(secrets=(SECRET,), tolerance_seconds=1e9) as receiver:
        asyncio.run(within(60, scenario(receiver), clock=SYSTEM_CLOCK))


@pytest.mark.parametrize(("is_known", "expected"), [(True, "SUCCEEDED"), (False, "FAILED")])
def test_https_endpoints_are_verified(
    serve: Callable[..., Harness], model: ModelServer, tmp_path: Path, is_known: bool, expected: str
) -> None:
    authority = Authority(tmp_path)
    clock = ManualClock(NOW)
    harness = serve(webhook_ca=authority.file if is_known else None, clock=clock)
    with (
        authority.serve_https() as received,
        HarnessClient(harness.url, api_key="any") as client,
    ):
        request_id = client.submit(model_input=1, webhook_endpoint=received.url).request_id
        model.wait_for_a_call()
        clock.advance(2)
        assert client.wait(request_id, timeout_seconds=30).webhook_status.value == expected
        attempts = client.deliveries(request_id)
    assert len(received.bodies) == (1 if is_known else 0)
    if not is_known:
        assert "certificate" in (attempts[0].error or "").lower()


def test_a_redirect_is_not_followed(serve: Callable[..., Harness], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    harness = serve(webhook_ca=authority.file)
    with (
        WebhookReceiver() as elsewhere,
        authority.serve_https(location=elsewhere.url) as received,
        HarnessClient(harness.url, api_key="any") as client,
    ):
        request_id = client.submit(model_input=1, webhook_endpoint=received.url).request_id
        assert outcome(client.wait(request_id, timeout_seconds=30)) == ("WEBHOOK_FAILED", "FAILED")
        assert [attempt.status_code for attempt in client.deliveries(request_id)] == [307]
    assert (len(received.bodies), list(elsewhere.deliveries)) == (1, [])


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_authorities_is_refused_at_the_start(
    serve: Callable[..., Harness], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(HarnessError, match="certificate authorities"):
        serve(webhook_ca=file)


def test_the_systems_authorities_stay_known(tmp_path: Path) -> None:
    before = webhook_tls(None).cert_store_stats()["x509_ca"]
    after = webhook_tls(Authority(tmp_path).file).cert_store_stats()["x509_ca"]
    assert after == before + 1
    assert webhook_tls(None).verify_mode is ssl.CERT_REQUIRED
