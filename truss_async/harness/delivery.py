"""From the queue to the webhook endpoint: sign and POST the async predict result until it is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from ..contract import AsyncPredictResult
from ..contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from ..contract.result_json import result_json
from ..contract.webhook_urls import webhook_url
from ..errors import HarnessError
from ..printable import printable, without_logins
from ..shortages import PAUSE_SECONDS, is_shortage
from ..webhooks.signing import signature_header
from .decisions import is_delivered, next_delivery_delay
from .delivery_slots import MAX_IN_FLIGHT, DeliverySlots
from .faults import FaultyDelivery, Tampering
from .request_queue import DeliveryAttempt, until_stored
from .sent_headers import LOGIN, SentHeaders
from .tracing import DELIVERY
from .webhook_targets import REFUSED, PrivateTargetError, as_given

if TYPE_CHECKING:
    from ..contract.webhook_urls import WebhookUrl
    from .activity import Activity
    from .decisions import DeliveryPolicy
    from .delivery_slots import Slot
    from .faults import Faults
    from .metrics import Metrics
    from .request_queue import DueDelivery, RequestQueue
    from .tracing import Tracing

AS_IT_SHOULD_BE = Tampering()
_NOT_PROVEN = 401
_MOST_REASON_BYTES = 2000
_LONGEST_REASON = 300
_REASON_SECONDS = 1.0
CLAIMED_AT_ONCE = 256
LONGEST_URL = 300


class UnsendableError(Exception):
    """A webhook cannot be sent, however often it is tried."""


class Delivery:
    """Delivers what is due, each endpoint at its own pace; ``signing`` tells the webhook secrets of the moment.

    ``tls`` is how HTTPS endpoints are verified; True: as the system does. ``sent`` keeps the headers of what was sent lately.
    """

    def __init__(
        self,
        *,
        queue: RequestQueue,
        signing: Callable[[], Sequence[str]],
        policy: DeliveryPolicy,
        tls: ssl.SSLContext | bool,
        session: aiohttp.ClientSession,
        activity: Activity,
        metrics: Metrics,
        faults: Faults,
        report: Callable[[str], None],
        max_in_flight: int = MAX_IN_FLIGHT,
        tracing: Tracing | None = None,
    ) -> None:
        self._queue = queue
        self._signing = signing
        self._policy = policy
        self._tls = tls
        self._session = session
        self._activity = activity
        self._metrics = metrics
        self._report = report
        self.sent = SentHeaders()
        self._tracing = tracing
        self._faulty = FaultyDelivery(faults, activity=activity, timeout_seconds=policy.timeout_seconds)
        self._is_short = False
        self._awake = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._slots = DeliverySlots(
            on_turn=lambda request_id, slot: self._start(slot, request_id, self._deliver_waiting(request_id)),
            on_room=self._awake.set,
            limit=max_in_flight,
        )

    @contextmanager
    def slot_for(self, webhook_endpoint: str | None) -> Iterator[Slot | None]:
        """A slot for a result that is about to be kept, if it could be sent at once; for ``deliver``."""
        slot = None if webhook_endpoint is None else self._slots.try_take(webhook_endpoint)
        try:
            yield slot
        finally:
            if slot is not None and not slot.is_used:
                self._slots.give_back(slot)

    def deliver(self, due: DueDelivery, slot: Slot | None) -> None:
        """Send a result that was just kept: at once in its slot, or else when its turn comes."""
        if slot is None:
            self._awake.set()
        else:
            self._start(slot, due.request_id, self._deliver(due))

    async def take_over(self) -> None:
        """Go on with what others left unsent; there may be more that is due, too."""
        await self._queue.release_deliveries(now=self._activity.now())
        self._awake.set()

    def drop(self) -> None:
        """What was claimed belongs to others: break it off."""
        self._slots.dismiss_waiting()
        for delivery in self._in_flight:
            delivery.cancel()

    async def run(self) -> None:
        """Deliver until cancelled; what is being sent then is sent again after the next start."""
        try:
            await until_stored(self.take_over, pause=self._activity.sleep, report=self._report)
            while True:
                self._awake.clear()
                seconds = await until_stored(
                    self._deliver_due, pause=self._activity.sleep, report=self._report
                )
                await self._activity.wait(self._awake, seconds=seconds)
        finally:
            self.drop()
            await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def _deliver_due(self) -> float | None:
        """Start what is due; return the seconds until something else is, None when only a wake-up can tell."""
        while (room := min(self._slots.room, CLAIMED_AT_ONCE)) > 0:
            now = self._activity.now()
            due = await self._queue.claim_deliveries(limit=room, now=now)
            for item in due:
                # What waits is claimed already, so nobody else looks at it meanwhile.
                if slot := self._slots.take_or_wait(item.webhook_endpoint, item.request_id):
                    self._start(slot, item.request_id, self._deliver(item))
            if len(due) < room:
                following = await self._queue.next_delivery()
                return None if following is None else (following - self._activity.now()).total_seconds()
        return None

    def _start(
        self, slot: Slot, request_id: str, work: Coroutine[Any, Any, None], *, gives_up: bool = False
    ) -> None:
        slot.is_used = True
        delivery = self._activity.start(work)
        self._in_flight.add(delivery)
        delivery.add_done_callback(lambda done: self._landed(slot, request_id, done, has_given_up=gives_up))

    def _landed(
        self, slot: Slot, request_id: str, delivery: asyncio.Task[None], *, has_given_up: bool
    ) -> None:
        self._in_flight.discard(delivery)
        error = None if delivery.cancelled() else delivery.exception()
        if error is not None and not has_given_up:
            reason = (
                str(error)
                if isinstance(error, UnsendableError)
                else f"internal error of the harness: {error!r}"
            )
            self._start(slot, request_id, self._give_up(request_id, reason), gives_up=True)
            return
        if error is not None:
            self._report(f"the webhook of {request_id} is dropped at the next start: {error!r}")
        self._slots.give_back(slot)

    async def _give_up(self, request_id: str, reason: str) -> None:
        """Whatever went wrong with a delivery, it comes to an end."""
        attempt = DeliveryAttempt(self._activity.now(), 0, None, printable(reason))
        is_kept = await until_stored(
            lambda: self._queue.finish_delivery(
                request_id, attempt, is_delivered=False, now=self._activity.now()
            ),
            pause=self._activity.sleep,
            report=self._report,
        )
        if is_kept:
            self._report(f"webhook of {request_id} failed for good: {attempt.error}")

    async def _deliver_waiting(self, request_id: str) -> None:
        due = await until_stored(
            lambda: self._queue.claimed_delivery(request_id), pause=self._activity.sleep, report=self._report
        )
        if due is not None:
            await self._deliver(due)

    async def attempt(self, due: DueDelivery) -> DeliveryAttempt:
        """One POST, newly signed and dated; a fault may strike it. Nothing of it is recorded, and none follows.

        Raises:
            UnsendableError: it can never be sent there.
        """
        attempt = await (self._faulty.attempt(due, self._post) if self._faulty.is_armed else self._post(due))
        self._metrics.of(due.deployment_id).delivery_attempted(took_seconds=attempt.latency_ms / 1000)
        if self._tracing is not None:
            self._trace(self._tracing, due, attempt)
        return attempt

    def _trace(self, tracing: Tracing, due: DueDelivery, attempt: DeliveryAttempt) -> None:
        is_good = is_delivered(attempt.status_code)
        tracing.attempt_over(
            DELIVERY,
            due.request_id,
            at=self._activity.time_of_day(attempt.sent_at),
            took=timedelta(milliseconds=attempt.latency_ms),
            problem=None if is_good else attempt.error or f"it answered {attempt.status_code}",
            attributes={
                "baseten.deployment_id": due.deployment_id,
                "truss_async.attempt": due.attempts_made + 1,
                "url.full": without_logins(due.webhook_endpoint),
                "http.response.status_code": attempt.status_code,
            },
        )

    async def _deliver(self, due: DueDelivery) -> None:
        attempt = await self.attempt(due)
        await until_stored(
            lambda: self._record(due, attempt), pause=self._activity.sleep, report=self._report
        )

    async def _post(self, due: DueDelivery, tampering: Tampering = AS_IT_SHOULD_BE) -> DeliveryAttempt:
        try:
            url = webhook_url(due.webhook_endpoint)
        except ValueError as error:
            raise UnsendableError(f"its URL {error}") from error
        since = self._activity.now()
        while True:
            attempt = await self._attempt(due, url, tampering, since=since)
            if attempt is not None:
                self._is_short = False
                self._slots.heard(url.origin, answered=attempt.status_code is not None)
                return attempt
            await self._activity.sleep(PAUSE_SECONDS)

    async def _attempt(
        self, due: DueDelivery, url: WebhookUrl, tampering: Tampering, *, since: datetime
    ) -> DeliveryAttempt | None:
        """One POST, and what came of it; None when it could not be made, since that moment, for want of something of our own."""
        sent_at = self._activity.now()
        time = self._activity.time_of_day(sent_at) - timedelta(seconds=tampering.age_seconds)
        body = self._body(due, time=time)
        headers = {"Content-Type": "application/json", WEBHOOK_REQUEST_ID: due.request_id}
        active = self._signing()
        if secrets := tampering.secrets(active):
            headers[SIGNATURE] = signature_header(body, secrets)
        if url.login is not None:
            headers[LOGIN] = f"Basic {b64encode(url.login).decode()}"
        self.sent.keep(due.request_id, due.attempts_made + 1, headers)
        status_code, problem = None, None
        try:
            seconds = self._policy.timeout_seconds
            status_code, problem = await self._activity.outside(seconds, self._send(url, body, headers))
        except TimeoutError:
            problem = f"no answer within {self._policy.timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            if is_shortage(error, waited_seconds=(self._activity.now() - since).total_seconds()):
                self._tell_of_shortage(error)
                return None
            if isinstance(getattr(error, "os_error", None), PrivateTargetError):
                raise UnsendableError(f"{url.host}: {REFUSED}") from error
            problem = printable(str(error) or type(error).__name__)
        latency = self._activity.now() - sent_at
        took_ms = latency.total_seconds() * 1000
        return DeliveryAttempt(sent_at, took_ms, status_code, problem, tampering.verdict(active))

    def _tell_of_shortage(self, error: Exception) -> None:
        if not self._is_short:
            self._report(
                f"webhooks are delayed because this machine lacks a resource: {error}; see ulimit -n"
            )
        self._is_short = True

    def _body(self, due: DueDelivery, *, time: datetime) -> bytes:
        result = AsyncPredictResult(
            request_id=due.request_id,
            model_id=due.accepted.model_id,
            deployment_id=due.deployment_id,
            time=time,
            errors=due.errors,
        )
        return result_json(result, due.data or b"null")

    async def _send(self, url: WebhookUrl, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        async with self._session.post(
            as_given(url), data=body, headers=headers, allow_redirects=False, ssl=self._tls
        ) as response:
            if response.status != _NOT_PROVEN:
                return response.status, None
            return response.status, f"it answered {response.status}: {await _reason(response)}"

    async def _record(self, due: DueDelivery, attempt: DeliveryAttempt) -> None:
        attempts = due.attempts_made + 1
        delay = next_delivery_delay(self._policy, attempts_made=attempts, status_code=attempt.status_code)
        now = self._activity.now()
        if delay is not None:
            await self._queue.deliver_later(due.request_id, attempt, at=now + delay)
            self._awake.set()
            return
        delivered = is_delivered(attempt.status_code)
        is_kept = await self._queue.finish_delivery(due.request_id, attempt, is_delivered=delivered, now=now)
        if is_kept and not delivered:
            endpoint = printable(due.webhook_endpoint, limit=LONGEST_URL)
            reason = attempt.error or f"it answered {attempt.status_code}"
            self._report(
                f"webhook of {due.request_id} failed for good after {attempts} attempts: {endpoint}: {reason}"
            )


async def _reason(response: aiohttp.ClientResponse) -> str:
    """Why a receiver refuses, in its own words, if it says so soon: most of all, that it goes by another clock."""
    body = b""
    with contextlib.suppress(asyncio.TimeoutError, aiohttp.ClientError):
        body = await asyncio.wait_for(response.content.read(_MOST_REASON_BYTES), _REASON_SECONDS)
    said: object = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(body)
        if isinstance(content, dict):
            said = content.get("error", content.get("detail", said))
    return printable(str(said).strip() or "no reason given", limit=_LONGEST_REASON)


def webhook_tls(ca_file: Path | None) -> ssl.SSLContext:
    """How HTTPS webhook endpoints are verified: by the system's authorities and those of the file.

    Raises:
        HarnessError: the file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (ssl.SSLError, OSError) as error:
            reason = "it contains no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise HarnessError(f"cannot use the certificate authorities {ca_file}: {reason}") from error
    return context
