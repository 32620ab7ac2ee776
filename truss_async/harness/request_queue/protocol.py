"""What a request queue promises, whatever keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...errors import HarnessError

if TYPE_CHECKING:
    from datetime import datetime

    from ...contract import AsyncRequestStatus, ErrorDetail, RequestStatus
    from .accepted import AcceptedRequest


class RequestQueueError(HarnessError):
    """The queue could not be read or written: nothing of the call took effect."""


@dataclass(frozen=True, slots=True)
class NewRequest:
    """An accepted request. ``model_input`` is JSON."""

    request_id: str
    deployment_id: str
    accepted: AcceptedRequest
    model_input: bytes
    priority: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedRequest:
    """A request that is in progress, with all that an inference attempt and the delivery of its result need.

    ``order`` is its number in the order of acceptance, from 1; no two requests of one run of the harness have the same.
    """

    request_id: str
    accepted: AcceptedRequest
    priority: int
    model_input: bytes
    attempts_made: int
    created_at: datetime
    order: int


@dataclass(frozen=True, slots=True)
class WaitingRetry:
    """A request that is in progress and waits for its next inference attempt."""

    request_id: str
    priority: int
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
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


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST of a result; ``status_code`` is None when no answer came."""

    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None


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


class RequestQueue(Protocol):
    """Durable: when a method returns, what it did survives the end of the process.

    Every change of status is conditional on the status before it: of two that race, one wins and the other is told
    so. All methods raise RequestQueueError when the storage fails.
    """

    async def enqueue(self, request: NewRequest) -> None:
        """Keep a new request."""

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        """Take up to ``limit`` queued requests, by priority, then age, into progress."""

    async def in_progress(self, deployment_id: str) -> list[WaitingRetry]:
        """What was in progress when the queue was last closed, or the process killed."""

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        """Take a request that waits for a retry; None when it is no longer in progress."""

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> None:
        """Record failed inference attempts and when the next one is due."""

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
        """Inference is over: erase the input; keep the output only if it is to be delivered. False: it was not in progress.

        With ``is_claimed`` the result counts as given out by ``claim_deliveries``: the caller delivers it.
        """

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        """Withdraw a queued request; False when it is not queued."""

    async def expire(self, *, now: datetime) -> list[str]:
        """Expire what has waited too long; return the request ids."""

    async def forget(self, *, over_before: datetime) -> int:
        """Drop requests that were over by then; return how many."""

    async def next_expiry(self) -> datetime | None:
        """When the next queued request expires."""

    async def next_over(self) -> datetime | None:
        """When the request that has been over the longest was over."""

    async def claim_deliveries(self, *, limit: int, now: datetime) -> list[DueDelivery]:
        """Take results that are due to be sent; each is given out once until its attempt is recorded."""

    async def claimed_delivery(self, request_id: str) -> DueDelivery | None:
        """One that was claimed and whose attempt is not recorded, again; None when there is no such."""

    async def next_delivery(self) -> datetime | None:
        """When the next delivery is due."""

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> None:
        """Record a failed delivery attempt and when the next one is due."""

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> None:
        """Record the last delivery attempt and erase the output."""

    async def record(self, request_id: str) -> RequestRecord | None:
        """All that is known of a request; None when it is unknown or forgotten."""

    async def deliveries(self, request_id: str) -> list[RecordedDelivery]:
        """The delivery attempts of one request, in their order."""

    async def latest_deliveries(self, *, limit: int) -> list[RecordedDelivery]:
        """The delivery attempts of all requests that are known, newest first."""

    async def counts(self, deployment_id: str) -> QueueCounts:
        """How many wait and how many are in progress."""

    async def open_by_deployment(self) -> dict[str, int]:
        """How many requests are queued or in progress, for each deployment that has any."""

    async def close(self) -> None:
        """Let go of the storage; harmless when done twice."""
