"""What a request queue promises, whatever keeps it.

What is made several times for each request is a NamedTuple: it takes a fourth of the time that a frozen dataclass does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...errors import HarnessError

if TYPE_CHECKING:
    from ...contract import AsyncRequestStatus, ErrorDetail, RequestStatus, WebhookStatus
    from ...contract.harness_calls import QueueHealth, SignatureVerdict
    from .accepted import AcceptedRequest

AT_ONCE = 256


class RequestQueueError(HarnessError):
    """The queue could not be read or written: nothing of the call took effect.

    ``is_lasting``: it will not be otherwise the next time, until somebody sees to it.
    """

    is_lasting = False


class DamagedQueueError(RequestQueueError):
    """What keeps the queue is not what was written."""

    is_lasting = True


class VanishedQueueError(RequestQueueError):
    """What keeps the queue was taken away."""

    is_lasting = True


class NewRequest(NamedTuple):
    """An accepted request. ``model_input`` is JSON."""

    request_id: str
    deployment_id: str
    accepted: AcceptedRequest
    model_input: bytes
    priority: int
    created_at: datetime
    expires_at: datetime


class ClaimedRequest(NamedTuple):
    """A request that is in progress, with all that an inference attempt and the delivery of its result need.

    ``order`` is its number in the order of acceptance, from 1; no two requests of one run of the harness have the same.
    With ``damage``, which says what is wrong, it is not what was accepted: it must not be run, but can be finished.
    ``interruptions`` is how often an attempt at it ended because its owner did, without a word.
    """

    request_id: str
    accepted: AcceptedRequest
    priority: int
    model_input: bytes
    attempts_made: int
    created_at: datetime
    order: int
    damage: str | None = None
    interruptions: int = 0


@dataclass(frozen=True, slots=True)
class WaitingRetry:
    """A request that is in progress and waits for its next inference attempt."""

    request_id: str
    priority: int
    next_attempt_at: datetime | None
    interruptions: int = 0


class DueDelivery(NamedTuple):
    """A result that is to be sent now. ``data`` is the model output as JSON, None on error; ``order`` is its request's."""

    request_id: str
    deployment_id: str
    accepted: AcceptedRequest
    data: bytes | None
    errors: list[ErrorDetail]
    attempts_made: int
    order: int

    @property
    def webhook_endpoint(self) -> str:
        """Where it is sent: only what has an endpoint is delivered."""
        return self.accepted.webhook_endpoint or ""


class DeliveryAttempt(NamedTuple):
    """One POST of a result; ``status_code`` is None when no answer came."""

    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None
    signature: SignatureVerdict | None = None


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery attempt, and what it was of; ``number`` counts from 1 for each request."""

    request_id: str
    webhook_endpoint: str
    number: int
    attempt: DeliveryAttempt


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Everything that is known of a request."""

    status: AsyncRequestStatus
    priority: int
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    over_at: datetime | None
    deliveries: list[DeliveryAttempt]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many requests of a deployment wait, and how many are being worked on."""

    queued: int
    in_progress: int


class EndedRequest(NamedTuple):
    """A request of which nothing more will happen: inference is over, and so is the delivery of its result.

    ``model_seconds``, from its first attempt to the end of its last, is None when it never ran. ``size_bytes`` is the
    output's, and ``error_code`` that of the last attempt. Made for each request, so of what is at hand.
    """

    request_id: str
    deployment_id: str
    status: str
    webhook_status: str
    queue_seconds: float
    model_seconds: float | None
    size_bytes: int | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are looked for: those of which all that is given holds. ``since``: accepted then or later.

    ``over_after``: requests that were over by then are not known any more. ``id_prefix``: what the id begins with.
    """

    over_after: datetime
    status: RequestStatus | None = None
    webhook_status: WebhookStatus | None = None
    priority: int | None = None
    deployment_id: str | None = None
    since: datetime | None = None
    id_prefix: str = ""


@dataclass(frozen=True, slots=True)
class FoundRequest:
    """A request in a list. ``order`` is its number in the order of acceptance."""

    order: int
    request_id: str
    deployment_id: str
    status: RequestStatus
    webhook_status: WebhookStatus
    priority: int
    attempts: int
    errors: list[ErrorDetail]
    created_at: datetime
    status_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeptResult:
    """The result of a request that is over, kept until ``erase_at``. ``size_bytes`` is the output's, None when it failed."""

    request_id: str
    deployment_id: str
    accepted: AcceptedRequest
    webhook_status: WebhookStatus
    errors: list[ErrorDetail]
    over_at: datetime
    erase_at: datetime
    size_bytes: int | None


class RequestQueue(Protocol):
    """Durable: when a method returns, what it did survives the end of the process.

    Every change of status is conditional on the status before it: of two that race, one wins and the other is told
    so. All methods raise RequestQueueError when the storage fails.

    Each opening of a queue is an owner. What it claims, a request or a delivery, is its own until it is recorded, given
    back, or taken over by another owner after the lease ended; what an owner records of a thing that is no longer its
    own changes nothing, and it is told so. So a request is worked on by one owner at a time, and by another one after
    that when need be: at least once. With ``lease_seconds`` None there is one owner, and no lease: whoever opens the
    queue ends those before it, and can take over at once what they left.

    A request, or a result, that the storage has damaged is never given out as if it were whole: the request is claimed
    with its damage, and of the result a failure is delivered. The others are not concerned.

    Moments are given and returned in the time of the caller's clock. A storage that several machines share goes by a
    clock of its own, by which it judges what has expired, is due, or is late, and converts.
    """

    @property
    def lease_seconds(self) -> float | None:
        """How long an owner that does not renew keeps what it claimed; None: as long as it has the queue open."""

    async def renew(self, *, now: datetime) -> bool:
        """Begin the lease anew, from now on. False: others had ended it, nothing that was claimed before is one's own
        any more, and one is a new owner. A lease that is late and that nobody ended is renewed.
        """

    async def give_back(self) -> None:
        """End the lease: others can take over at once what was claimed. Until ``renew`` nothing is claimed any more."""

    async def take_over(self, deployment_id: str, *, now: datetime) -> list[WaitingRetry]:
        """Own what is in progress and was left by owners whose lease has ended, by priority, then age; end late leases.

        What was being inferred has no next attempt: it can be made at once.
        """

    async def release_deliveries(self, *, now: datetime) -> int:
        """What was being delivered by owners whose lease has ended is due now; end late leases. Return how many."""

    async def enqueue(self, request: NewRequest) -> None:
        """Keep a new request."""

    async def begin(self, request: NewRequest) -> ClaimedRequest | None:
        """Keep a new request, and take it into progress as one's own, for who knows that none goes before it.

        None: it is queued, as ``enqueue`` does it, for with leases there are others, who may have one that does.
        """

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        """Take up to ``limit`` queued requests, by priority, then age, into progress, as one's own."""

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        """Take a request that waits for a retry; None when it is no longer in progress, or no longer one's own."""

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> bool:
        """Record failed inference attempts and when the next one is due, which the owner makes. False: not one's own."""

    async def finish(
        self,
        request_id: str,
        status: RequestStatus,
        *,
        attempts: int,
        data: bytes | None,
        errors: list[ErrorDetail],
        now: datetime,
        is_claimed: bool = False,
    ) -> bool:
        """Inference is over: erase the input; keep the output only if it is to be delivered.

        With ``is_claimed`` the result counts as given out by ``claim_deliveries``: the caller delivers it. False: the
        request was not in progress, or not one's own.
        """

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        """Withdraw a queued request; False when it is not queued."""

    async def expire(self, *, now: datetime, limit: int = AT_ONCE) -> list[str]:
        """Expire up to ``limit`` requests that have waited too long; return their ids. Fewer: there are no more."""

    async def forget(self, *, over_before: datetime, limit: int = AT_ONCE) -> int:
        """Drop up to ``limit`` requests that were over by then; return how many. Fewer: there are no more."""

    async def calm(self) -> None:
        """Wait until it has written down what it was given: before each slice of what can wait, and may be much."""

    async def next_expiry(self) -> datetime | None:
        """When the next queued request expires."""

    async def next_over(self) -> datetime | None:
        """When the request that has been over the longest was over."""

    async def claim_deliveries(self, *, limit: int, now: datetime) -> list[DueDelivery]:
        """Take results that are due to be sent, as one's own; each is given out once until its attempt is recorded."""

    async def claimed_delivery(self, request_id: str) -> DueDelivery | None:
        """One of one's own whose attempt is not recorded, again; None when there is no such."""

    async def next_delivery(self) -> datetime | None:
        """When the next delivery is due."""

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> bool:
        """Record a failed delivery attempt and when the next one is due, for anybody. False: it was not one's own."""

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> bool:
        """Record the last delivery attempt and erase the output, or keep it for redelivery. False: it was not one's own."""

    async def kept_result(self, request_id: str, *, now: datetime) -> DueDelivery | None:
        """The kept result of a request, as it is sent; None when none is kept (any more). It stays.

        Raises:
            DamagedQueueError: it is not what was kept.
        """

    async def kept_results(
        self, *, since: datetime | None, is_failed: bool, now: datetime, limit: int
    ) -> list[KeptResult]:
        """Up to ``limit`` kept results, the latest first; ``is_failed``: of those that could not be delivered."""

    async def record_redelivery(
        self, request_id: str, attempt: DeliveryAttempt, *, sent_to: str | None, is_delivered: bool
    ) -> bool:
        """Record that a kept result was sent again. Delivered to the endpoint of its request (``sent_to`` None), a
        delivery that had failed has succeeded. False: the request is forgotten, and nothing but the result is known.
        """

    async def erase_kept(self, *, now: datetime, limit: int = AT_ONCE) -> int:
        """Erase up to ``limit`` kept results whose time is over; return how many. Fewer: there are no more."""

    async def next_erasure(self) -> datetime | None:
        """When the time of the next kept result is over."""

    async def record(self, request_id: str) -> RequestRecord | None:
        """All that is known of a request; None when it is unknown or forgotten."""

    async def deliveries(self, request_id: str) -> list[RecordedDelivery]:
        """The delivery attempts of one request, in their order."""

    async def latest_deliveries(self, *, limit: int) -> list[RecordedDelivery]:
        """The delivery attempts of all requests that are known, newest first."""

    async def counts(self, deployment_id: str) -> QueueCounts:
        """How many wait and how many are in progress. Reading holds up nobody who writes."""

    async def open_by_deployment(self) -> dict[str, int]:
        """How many requests are queued or in progress, for each deployment that has any."""

    async def check(self) -> None:
        """Look for damage that there was no time for at opening, and mend it; holds up nobody. May be cancelled."""

    def health(self) -> QueueHealth:
        """Whether what keeps the queue works, and what of the queue it has damaged since it was opened."""

    async def search(self, which: RequestFilter, *, before: int | None, limit: int) -> list[FoundRequest]:
        """Up to ``limit`` requests, the latest first; of those that were accepted before the one of that order.

        Reading holds up nobody who writes, however many there are.
        """

    async def oldest_open(self) -> FoundRequest | None:
        """The request that has been queued or in progress for the longest since it was accepted; None: there is none."""

    async def starting_with(self, prefix: str, *, over_after: datetime, limit: int) -> list[str]:
        """Up to ``limit`` ids that begin so, in their order, of requests that were not over by ``over_after``."""

    async def status_counts(self) -> dict[str, dict[RequestStatus, int]]:
        """How many requests of each deployment have each status: as it was kept, and not counted for this."""

    async def close(self) -> None:
        """Let go of the storage, not of what was claimed; harmless when done twice."""
