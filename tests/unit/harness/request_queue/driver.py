"""Drives a real queue from plain test functions, and makes requests for it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from tests.unit.harness.request_queue.storages import Storage
from truss_async.contract import ErrorDetail, InferenceRetryConfig, RequestStatus
from truss_async.harness.request_queue import (
    AcceptedRequest,
    DeliveryAttempt,
    DueDelivery,
    NewRequest,
    RequestQueue,
    RequestRecord,
)
from truss_async.harness.stories import Journal, JournalingQueue

T = TypeVar("T")

DEPLOYMENT = "d1"
BROKEN = ErrorDetail(code="MODEL_PREDICT_ERROR", message="broken")


@dataclass
class Time:
    now: datetime


class QueueDriver:
    """One owner of a queue; ``another`` is one more of the same, at the same time."""

    def __init__(
        self,
        storage: Storage,
        *,
        now: datetime,
        lease_seconds: float | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.storage = storage
        self.lease_seconds = lease_seconds
        self.journal = journal
        self._time = Time(now)
        self._others: list[QueueDriver] = []
        storage.time_is(now)
        self._loop = asyncio.new_event_loop()
        with contextlib.ExitStack() as opening:
            opening.callback(self._loop.close)
            self.queue = self._open()  # which may fail, and is to leave nothing open then
            opening.pop_all()

    def another(self) -> "QueueDriver":
        other = QueueDriver.__new__(QueueDriver)
        other.__dict__.update(self.__dict__)
        other.queue = other._open()
        self._others.append(other)
        return other

    def __enter__(self) -> "QueueDriver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for driver in (*self._others, self):
            driver.run(lambda queue: queue.close())
        self._loop.close()

    @property
    def now(self) -> datetime:
        return self._time.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self._time.now = moment
        self.storage.time_is(moment)

    def run(self, call: Callable[[RequestQueue], Awaitable[T]]) -> T:
        async def awaited() -> T:
            return await call(self.queue)

        return self._loop.run_until_complete(awaited())

    def reopen(self) -> None:
        self.run(lambda queue: queue.close())
        self.queue = self._open()

    def _open(self) -> RequestQueue:
        opening = self.storage.open(now=self.now, lease_seconds=self.lease_seconds)
        queue: RequestQueue = self._loop.run_until_complete(opening)
        if self.journal is None:
            return queue
        return JournalingQueue(queue, self.journal, now=lambda: self.now)

    def request(
        self,
        request_id: str,
        *,
        priority: int = 0,
        webhook: str | None = "https://example.com/hook",
        deployment_id: str = DEPLOYMENT,
        model_input: bytes = b'{"x":1}',
        expires_in: timedelta = timedelta(minutes=10),
    ) -> NewRequest:
        return NewRequest(
            request_id=request_id,
            deployment_id=deployment_id,
            accepted=AcceptedRequest("m1", None, webhook, InferenceRetryConfig()),
            model_input=model_input,
            priority=priority,
            created_at=self.now,
            expires_at=self.now + expires_in,
        )

    def enqueue(self, request_id: str, **options: Any) -> None:
        request = self.request(request_id, **options)
        self.run(lambda queue: queue.enqueue(request))

    def claim(self, limit: int = 100) -> list[str]:
        claimed = self.run(lambda queue: queue.claim(DEPLOYMENT, limit=limit, now=self.now))
        return [request.request_id for request in claimed]

    def take_over(self, deployment_id: str = DEPLOYMENT) -> list[str]:
        taken = self.run(lambda queue: queue.take_over(deployment_id, now=self.now))
        return [waiting.request_id for waiting in taken]

    def retry_later(self, request_id: str, *, attempts: int = 1, seconds: float = 60) -> bool:
        at = self.now + timedelta(seconds=seconds)
        return self.run(
            lambda queue: queue.retry_later(request_id, attempts=attempts, at=at, errors=[BROKEN])
        )

    def finish(
        self,
        request_id: str,
        *,
        data: bytes | None = b'"out"',
        failed: bool = False,
        attempts: int = 1,
        is_claimed: bool = False,
    ) -> bool:
        return self.run(
            lambda queue: queue.finish(
                request_id,
                RequestStatus.FAILED if failed else RequestStatus.SUCCEEDED,
                attempts=attempts,
                data=None if failed else data,
                errors=[BROKEN] if failed else [],
                now=self.now,
                is_claimed=is_claimed,
            )
        )

    def claim_deliveries(self, limit: int = 100) -> list[DueDelivery]:
        return self.run(lambda queue: queue.claim_deliveries(limit=limit, now=self.now))

    def deliver_later(self, request_id: str, *, status_code: int | None = 503, seconds: float = 60) -> bool:
        at = self.now + timedelta(seconds=seconds)
        return self.run(lambda queue: queue.deliver_later(request_id, self.attempt(status_code), at=at))

    def deliver(self, request_id: str, *, status_code: int | None = 200, is_delivered: bool = True) -> bool:
        return self.run(
            lambda queue: queue.finish_delivery(
                request_id, self.attempt(status_code), is_delivered=is_delivered, now=self.now
            )
        )

    def record(self, request_id: str) -> RequestRecord:
        record = self.run(lambda queue: queue.record(request_id))
        assert record is not None
        return record

    def statuses(self, request_id: str) -> tuple[str, str]:
        status = self.record(request_id).status
        return status.status.value, status.webhook_status.value

    def attempt(self, status_code: int | None = 200) -> DeliveryAttempt:
        return DeliveryAttempt(self.now, 12.5, status_code, None if status_code else "connection refused")
