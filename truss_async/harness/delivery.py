"""From the queue to the webhook endpoint: sign and POST the async predict result until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from pydantic_core import from_json

from ..clock import wait_for_event, within
from ..contract import AsyncPredictResult
from ..contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from ..webhooks.signing import signature_header
from .decisions import is_delivered, next_delivery_delay
from .request_queue import DeliveryAttempt, until_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..clock import Clock
    from .decisions import DeliveryPolicy
    from .metrics import Metrics
    from .request_queue import DueDelivery, RequestQueue

MAX_IN_FLIGHT = 1024
MAX_IN_FLIGHT_PER_ENDPOINT = 64


class Delivery:
    """Delivers what is due, each endpoint at its own pace."""

    def __init__(
        self,
        *,
        model_id: str,
        queue: RequestQueue,
        secrets: Sequence[str],
        policy: DeliveryPolicy,
        session: aiohttp.ClientSession,
        clock: Clock,
        metrics: Metrics,
        report: Callable[[str], None],
    ) -> None:
        self._model_id = model_id
        self._queue = queue
        self._secrets = secrets
        self._policy = policy
        self._session = session
        self._clock = clock
        self._metrics = metrics
        self._report = report
        self._awake = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._endpoints: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_IN_FLIGHT_PER_ENDPOINT)
        )

    def wake(self) -> None:
        """Look again: a result is ready."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is being sent then is sent again after the next start."""
        try:
            while True:
                self._awake.clear()
                seconds = await until_stored(self._deliver_due, clock=self._clock, report=self._report)
                await wait_for_event(self._awake, clock=self._clock, seconds=seconds)
        finally:
            for delivery in self._in_flight:
                delivery.cancel()
            await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _deliver_due(self) -> float | None:
        """Start what is due; return the seconds until something else is, None when only a wake-up can tell."""
        while (room := MAX_IN_FLIGHT - len(self._in_flight)) > 0:
            now = self._clock.now()
            due = await self._queue.claim_deliveries(limit=room, now=now)
            if not due:
                following = await self._queue.next_delivery()
                return None if following is None else (following - now).total_seconds()
            for item in due:
                delivery = asyncio.ensure_future(self._deliver(item))
                self._in_flight.add(delivery)
                delivery.add_done_callback(self._landed)
        return None

    def _landed(self, delivery: asyncio.Task[None]) -> None:
        if len(self._in_flight) == MAX_IN_FLIGHT:
            self.wake()
        self._in_flight.discard(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            self._report(f"a delivery stopped short, and is made again after the next start: {error!r}")

    async def _deliver(self, due: DueDelivery) -> None:
        async with self._endpoints[_origin(due.webhook_endpoint)]:
            attempt = await self._post(due)
        self._metrics.delivery_attempted(
            status_code=attempt.status_code, took_seconds=attempt.latency_ms / 1000
        )
        await until_stored(lambda: self._record(due, attempt), clock=self._clock, report=self._report)

    async def _post(self, due: DueDelivery) -> DeliveryAttempt:
        sent_at = self._clock.now()
        body = self._body(due)
        headers = {"Content-Type": "application/json", WEBHOOK_REQUEST_ID: due.request_id}
        if self._secrets:
            headers[SIGNATURE] = signature_header(body, self._secrets)
        status_code, problem = None, None
        try:
            seconds = self._policy.timeout_seconds
            status_code = await within(
                seconds, self._send(due.webhook_endpoint, body, headers), clock=self._clock
            )
        except TimeoutError:
            problem = f"no answer within {self._policy.timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            problem = str(error) or type(error).__name__
        latency = self._clock.now() - sent_at
        return DeliveryAttempt(sent_at, latency.total_seconds() * 1000, status_code, problem)

    def _body(self, due: DueDelivery) -> bytes:
        result = AsyncPredictResult(
            request_id=due.request_id,
            model_id=self._model_id,
            deployment_id=due.deployment_id,
            time=self._clock.now(),
            data=None if due.data is None else from_json(due.data),
            errors=due.errors,
        )
        return result.model_dump_json().encode()

    async def _send(self, endpoint: str, body: bytes, headers: dict[str, str]) -> int:
        async with self._session.post(
            endpoint, data=body, headers=headers, allow_redirects=False
        ) as response:
            return response.status

    async def _record(self, due: DueDelivery, attempt: DeliveryAttempt) -> None:
        attempts = due.attempts_made + 1
        delay = next_delivery_delay(self._policy, attempts_made=attempts, status_code=attempt.status_code)
        now = self._clock.now()
        if delay is not None:
            await self._queue.deliver_later(due.request_id, attempt, at=now + delay)
            self.wake()
            return
        delivered = is_delivered(attempt.status_code)
        await self._queue.finish_delivery(due.request_id, attempt, is_delivered=delivered, now=now)
        if not delivered:
            reason = attempt.error or f"it answered {attempt.status_code}"
            self._report(
                f"webhook of {due.request_id} failed for good after {attempts} attempts: {due.webhook_endpoint}: {reason}"
            )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
