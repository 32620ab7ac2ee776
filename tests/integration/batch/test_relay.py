"""``relay=URL``: results for a caller without a public address, from a real harness through a real listen."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.batch.conftest import Files
from tests.unit.cli.conftest import CommandLine
from truss_async import Harness, HarnessSettings
from truss_async.client import AsyncPlatformClient, Inbox, PlatformClient
from truss_async.client.batch import Batch
from truss_async.client.batch.opening import OpenBatch
from truss_async.client.batch.relay import RelaySource
from truss_async.client.batch.streaming import result_of
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult
from truss_async.endpoint.certificates import own_certificate
from truss_async.endpoint.intake import Intake
from truss_async.endpoint.relay import RESULTS, Relay
from truss_async.errors import (
    ApiError,
    ApiKeyRefusedError,
    RequestFailedError,
    SettingsError,
    UnansweredError,
)
from truss_async.webhooks import WebhookReceiver

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from truss_async.webhooks.http_server import Answer, EventStream, Request

KEY = "relay-key"
SECRET = "whsec_" + "a1B2" * 9


class Model:
    """Answers what it was given; fails where it is told to."""

    def predict(self, model_input: Any) -> Any:
        if model_input == "fail":
            raise ValueError("as asked")
        return {"got": model_input}


class RelayHere:
    """listen --relay in this process, which can end and start again on its port."""

    def __init__(self, folder: Path, *, tls: ssl.SSLContext | None = None) -> None:
        self.inbox = Inbox(folder)
        self._tls = tls
        self.is_asked = threading.Event()
        self._running = ExitStack()
        self.port = 0
        self.start()

    def start(self) -> None:
        self.relay = Relay(self.inbox.find, key=KEY)
        intake = Intake(self.inbox, forwarder=None, report=lambda _: None, relay=self.relay)
        receiver = WebhookReceiver(
            secrets=(SECRET,), port=self.port, on_delivery=intake.take, on_get=self._answer, tls=self._tls
        )
        self._running.enter_context(receiver)
        self._running.enter_context(closing(self.relay))
        self.url = receiver.url
        self.port = int(receiver.url.rpartition(":")[2])

    def _answer(self, request: Request) -> Answer | EventStream:
        answer = self.relay.answer(request)
        if request.path != RESULTS:
            self.is_asked.set()
        return answer

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    settings = HarnessSettings(model=Model, port=0, webhook_secrets=(SECRET,), replicas=1)
    with Harness(settings, report=lambda _: None, log=lambda _: None) as harness:
        yield harness


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayHere]:
    relay = RelayHere(tmp_path / "inbox")
    yield relay
    relay.stop()


def client_of(harness: Harness, relay: RelayHere, **options: Any) -> AsyncPlatformClient:
    return AsyncPlatformClient(
        harness.url, api_key="any", **{"relay": relay.url, "relay_key": KEY, **options}
    )


@pytest.mark.asyncio
async def test_a_result_is_there_as_soon_as_its_webhook(harness: Harness, relay: RelayHere) -> None:
    async with client_of(harness, relay) as client:
        result = await asyncio.wait_for(client.run({"a": "é\n"}), 20)
        assert result.data == {"got": {"a": "é\n"}}
        with pytest.raises(RequestFailedError, match="MODEL_PREDICT_ERROR"):
            await client.run("fail", inference_retry_config={"max_attempts": 1})
        found = {number: result.data async for number, result in client.map(range(100), max_open=80)}
    assert found == {number: {"got": number} for number in range(100)}


def test_a_ledger_of_a_relay_is_reconciled_there(
    harness: Harness,
    relay: RelayHere,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of a batch that was ended while one result lay at the relay already, and another had never come."""
    command_line = CommandLine(tmp_path, monkeypatch, capfd)
    command_line.set(TRUSS_ASYNC_URL=harness.url)
    files = Files(tmp_path, harness.url, options={"relay": relay.url, "receive": False})
    files.write(1, 2)
    opened = OpenBatch(files.settings())
    for request_id in ("there", "nowhere"):
        begun = opened.ledger.begin(at=0)
        assert begun is not None
        assert opened.ledger.accepted(begun.place.number, begun.submission, request_id)
    opened.close_ledger()
    opened.lines.close()
    result = AsyncPredictResult(request_id="there", time=SYSTEM_CLOCK.now(), data=1)
    relay.inbox.keep("there", result.as_received())
    ask = ("reconcile", files.ledger.name, "--json")
    found = command_line.run(*ask, "--relay-key", KEY)
    states = {each["request_id"]: each["state"] for each in json.loads(found.stdout)}
    assert (found.code, states) == (1, {"there": "result", "nowhere": "lost"})
    refused = command_line.run(*ask)
    assert (refused.code, "give relay_key=…, or --relay-key" in refused.error_line) == (1, True)
    relay.stop()
    gone = command_line.run(*ask, "--relay-key", KEY)
    assert (gone.code, "start it with `truss-async listen --relay`" in gone.error_line) == (1, True)


@pytest.mark.asyncio
async def test_a_look_at_a_relay_that_has_gone_says_so(relay: RelayHere) -> None:
    source = RelaySource(relay.url, key=KEY, clock=SYSTEM_CLOCK)
    relay.stop()
    with pytest.raises(UnansweredError, match=r"the relay .* does not answer"):
        await source.look("r1")
    await source.close()


@pytest.fixture
def files(harness: Harness, relay: RelayHere, tmp_path: Path) -> Files:
    files = Files(tmp_path, harness.url, options={"relay": relay.url, "receive": False})
    files.write(*range(40), {"model_input": "fail", "inference_retry_config": {"max_attempts": 1}})
    return files


def test_a_batch_has_its_results_over_a_relay(relay: RelayHere, files: Files) -> None:
    for key in (None, "wrong"):
        with pytest.raises(ApiKeyRefusedError, match="give relay_key=…, or --relay-key"):
            asyncio.run(Batch(files.settings(), api_key="k", relay_key=key).run())
    asyncio.run(Batch(files.settings(attempts=1), api_key="k", relay_key=KEY).run())
    assert files.results() == {f"line-{number + 1}": {"got": number} for number in range(40)}
    assert {name: code for name, (code, _) in files.errors().items()} == {"line-41": "MODEL_PREDICT_ERROR"}
    assert KEY.encode() not in files.ledger.read_bytes()


@pytest.mark.asyncio
async def test_a_relay_speaks_https_to_who_trusts_its_certificate(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = own_certificate(tmp_path / "tls", host="127.0.0.1")
    relay = RelayHere(tmp_path / "inbox", tls=certificate.context)
    try:
        async with client_of(harness, relay) as client:
            with pytest.raises(UnansweredError, match="certificate"):
                await client.run(1)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority_file))
        async with client_of(harness, relay) as client:
            source = await client._source()
            request_id = (await client.submit(model_input=1)).request_id
            result = AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data={"got": 1})
            relay.inbox.keep(request_id, result.as_received())
            waiting = result_of(request_id, client, source, clock=client._clock)
            assert (await asyncio.wait_for(waiting, 20)).data == {"got": 1}
    finally:
        relay.stop()


def test_without_a_loop_it_is_the_same(harness: Harness, relay: RelayHere) -> None:
    with PlatformClient(harness.url, api_key="any", relay=relay.url, relay_key=KEY) as client:
        assert client.run(1).data == {"got": 1}


@pytest.mark.asyncio
@pytest.mark.parametrize("comes", ["while it is down", "after it is back"])
async def test_a_relay_that_was_started_again_has_what_it_has_kept(
    harness: Harness, relay: RelayHere, comes: str
) -> None:
    async with client_of(harness, relay) as client:
        await client.run(0)  # it knows the relay by now
        relay.is_asked.clear()
        harness.pause()
        running = asyncio.ensure_future(client.run(1))
        assert await asyncio.to_thread(relay.is_asked.wait, 20)
        await asyncio.to_thread(relay.stop)
        request_id = harness.requests[-1].request_id
        if comes == "while it is down":
            result = AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data={"got": 1})
            relay.inbox.keep(request_id, result.as_received())
        await asyncio.to_thread(relay.start)
        if comes == "after it is back":
            harness.resume()
        assert (await asyncio.wait_for(running, 30)).data == {"got": 1}
        harness.resume()


@pytest.mark.asyncio
async def test_one_that_takes_long_keeps_no_other_from_its_result(
    harness: Harness, relay: RelayHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one seat, which whoever waits has for a turn."""
    monkeypatch.setattr("truss_async.client.batch.relay._TURN_SECONDS", 0.05)
    async with client_of(harness, relay) as client:
        source = await client._source()
        source._seats = asyncio.Semaphore(1)  # type: ignore[attr-defined]
        accepted = await client.submit(model_input=1)  # its result goes nowhere
        lost = asyncio.ensure_future(result_of(accepted.request_id, client, source, clock=client._clock))
        assert (await asyncio.wait_for(client.run(2), 20)).data == {"got": 2}
        lost.cancel()
        await asyncio.wait([lost])


@pytest.mark.asyncio
async def test_a_wrong_key_is_told_before_anything_is_submitted(harness: Harness, relay: RelayHere) -> None:
    before = len(harness.requests)
    async with client_of(harness, relay, relay_key="other") as client:
        with pytest.raises(ApiKeyRefusedError, match="refuses the key"):
            await client.run(1)
    assert len(harness.requests) == before


@pytest.mark.asyncio
async def test_what_is_no_relay_is_told_before_anything_is_submitted(harness: Harness) -> None:
    before = len(harness.requests)
    with WebhookReceiver() as plain:
        async with AsyncPlatformClient(harness.url, api_key="any", relay=plain.url) as client:
            with pytest.raises(ApiError, match=r"is no relay .*listen --relay"):
                await client.run(1)
    async with AsyncPlatformClient(harness.url, api_key="any", relay="http://127.0.0.1:9") as client:
        with pytest.raises(UnansweredError, match="no answer from the relay"):
            await client.run(1)
    assert len(harness.requests) == before


@pytest.mark.asyncio
async def test_results_come_from_one_place(harness: Harness, relay: RelayHere, tmp_path: Path) -> None:
    async with client_of(harness, relay, inbox=tmp_path) as client:
        with pytest.raises(SettingsError, match="one of store, inbox and relay"):
            await client.run(1)
