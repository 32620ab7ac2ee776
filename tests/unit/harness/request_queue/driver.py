"""Drives a real queue from plain test functions, and makes requests for it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from truss_async.contract import InferenceRetryConfig
from truss_async.harness.request_queue import (
    AcceptedRequest,
    DeliveryAttempt,
    NewRequest,
    RequestQueue,
    RequestRecord,
    SqliteRequestQueue,
)
from truss_async.harness.stories import Journal, JournalingQueue

T = TypeVar("T")

DEPLOYMENT = "d1"


class QueueDriver:
    def __init__(
        self, path: Path, *, now: datetime, journal: Journal | None = None, is_kept: bool = True
    ) -> None:
        self.path = path
        self.now = now
        self.journal = journal
        self.is_kept = is_kept
        self._loop = asyncio.new_event_loop()
        self.queue = self._open()

    def __enter__(self) -> "QueueDriver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.run(lambda queue: queue.close())
        self._loop.close()

    def run(self, call: Callable[[RequestQueue], Awaitable[T]]) -> T:
        async def awaited() -> T:
            return await call(self.queue)

        return self._loop.run_until_complete(awaited())

    def reopen(self) -> None:
        self.run(lambda queue: queue.close())
        self.queue = self._open()

    def _open(self) -> RequestQueue:
        self.kept = SqliteRequestQueue(self.path, now=self.now, is_kept=self.is_kept)
        if self.journal is None:
            return self.kept
        return JournalingQueue(self.kept, self.journal, now=lambda: self.now)

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

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Look at the file, or prepare it, by SQL."""
        return self.run(
            lambda _: self.kept._writer.run(
                lambda connection: [tuple(row) for row in connection.execute(sql)]
            )
        )

    def claim(self, limit: int = 100) -> list[str]:
        claimed = self.run(lambda queue: queue.claim(DEPLOYMENT, limit=limit, now=self.now))
        return [request.request_id for request in claimed]

    def record(self, request_id: str) -> RequestRecord:
        record = self.run(lambda queue: queue.record(request_id))
        assert record is not None
        return record

    def statuses(self, request_id: str) -> tuple[str, str]:
        status = self.record(request_id).status
        return status.status.value, status.webhook_status.value

    def attempt(self, status_code: int | None = 200) -> DeliveryAttempt:
        return DeliveryAttempt(self.now, 12.5, status_code, None if status_code else "connection refused")
