"""The request queue in PostgreSQL: several owners, each with a lease, and the database's clock for all of them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ....contract import RequestStatus, WebhookStatus
from ....contract.harness_calls import QueueHealth
from ..protocol import AT_ONCE, RequestQueueError
from ..rows import (
    claimed_request,
    due_delivery,
    ended_request,
    errors_json,
    found_request,
    kept_result,
    micros,
    moment,
    queue_counts,
    recorded_delivery,
    request_record,
    waiting_retry,
)
from .claims import Claims
from .clocks import DatabaseClock
from .database import Database
from .hints import Hints
from .nodes import PostgresNodes
from .rates import PostgresCallRates

if TYPE_CHECKING:
    from typing_extensions import Self

    from ....contract import ErrorDetail
    from ..protocol import (
        ClaimedRequest,
        DeliveryAttempt,
        DueDelivery,
        EndedRequest,
        FoundRequest,
        KeptResult,
        NewRequest,
        QueueCounts,
        RecordedDelivery,
        RequestFilter,
        RequestRecord,
        WaitingRetry,
    )

_NEWEST: Final = 2**63 - 1
_BEYOND_ALL_LETTERS: Final = "\U0010ffff"


class PostgresRequestQueue:
    """A RequestQueue in a schema of a PostgreSQL database, which others have open at the same time."""

    _owner: int | None = None

    def __init__(
        self,
        address: str,
        database: Database,
        *,
        lease_seconds: float | None,
        keep_results: timedelta | None,
        on_over: Callable[[EndedRequest], None] | None,
    ) -> None:
        self.lease_seconds = lease_seconds
        self._keep_micros = None if keep_results is None else keep_results // timedelta(microseconds=1)
        self._database = database
        self._on_over = on_over
        self._clock = DatabaseClock()
        self._inferring: defaultdict[str, Claims] = defaultdict(Claims)
        self._delivering = Claims()
        self._unsure: set[str] = set()
        self.hints = Hints(address, database)
        self.nodes = PostgresNodes(database)
        self.call_rates = PostgresCallRates(database)

    @classmethod
    async def open(
        cls,
        address: str,
        *,
        now: datetime,
        schema: str = "truss_async",
        lease_seconds: float | None = None,
        keep_results: timedelta | None = None,
        report: Callable[[str], None] = lambda _: None,
        on_over: Callable[[EndedRequest], None] | None = None,
    ) -> Self:
        """Open the queue, making its tables if need be, and be an owner of it.

        ``address`` is what psycopg connects to: ``postgresql://USER@HOST/DB``. Without leases, whoever had it open
        before is its owner no longer. Results stay for redelivery as long as ``keep_results`` after their requests are over;
        None: they are erased then. ``report`` is told when the database goes, and when it is back; ``on_over`` of each
        request that is over by what this owner did.

        Raises:
            RequestQueueError: the database cannot be used, or a newer version wrote it.
        """
        database = Database(address, schema, report=report)
        queue = cls(
            address, database, lease_seconds=lease_seconds, keep_results=keep_results, on_over=on_over
        )
        try:
            await database.open(address)
            await queue._begin(now)
        except BaseException:
            await database.close()
            raise
        return queue

    async def renew(self, *, now: datetime) -> bool:
        await self._look_at_clock(now)
        ((is_kept),) = [each["is_kept"] for each in await self._run("renew_lease", micros=self._lease_micros)]
        if not is_kept:
            await self._begin(now)
        await self.nodes.register(self._owner)
        return bool(is_kept)

    async def give_back(self) -> None:
        await self._run("end_lease", channel=self.hints.channel, payload=self.hints.farewell)

    async def take_over(self, deployment_id: str, *, now: datetime) -> list[WaitingRetry]:
        claims = self._inferring[deployment_id]
        async with claims.claiming():
            rows = await self._run("take_over", deployment_id=deployment_id, known=claims.known)
        claims.all_found()
        return [waiting_retry(_held(row, claims)) for row in rows]

    async def release_deliveries(self, *, now: datetime) -> int:
        async with self._delivering.claiming():
            rows = await self._run("release_deliveries", known=self._delivering.known)
        self._delivering.all_found()
        return sum(row["released"] for row in rows)

    async def enqueue(self, request: NewRequest) -> None:
        await self._run(
            "enqueue",
            request_id=request.request_id,
            deployment_id=request.deployment_id,
            webhook_status="PENDING" if request.accepted.webhook_endpoint else "NO_WEBHOOK_PROVIDED",
            priority=request.priority,
            request=request.accepted.to_json(),
            created_at=request.created_at,
            expires_at=request.expires_at,
            body=request.model_input,
        )
        self.hints.queued(request.deployment_id)

    async def begin(self, request: NewRequest) -> ClaimedRequest | None:
        await self.enqueue(request)
        return None

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        claims = self._inferring[deployment_id]
        async with claims.claiming():
            rows = await self._run("claim", deployment_id=deployment_id, limit=limit)
            return [claimed_request(_held(row, claims)) for row in rows]

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        return next((claimed_request(row) for row in await self._run("resume", request_id=request_id)), None)

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> bool:
        return bool(
            await self._run(
                "retry_later", request_id=request_id, attempts=attempts, at=at, errors=errors_json(errors)
            )
        )

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
        if is_claimed:
            await self._delivering.expect(request_id)
        values = {
            "status": status.value,
            "attempts": attempts,
            "data": data,
            "errors": errors_json(errors),
            "is_claimed": is_claimed,
            "keep_micros": self._keep_micros,
        }
        is_over = await self._finish(request_id, values)
        if not is_over:
            self._delivering.discard(request_id)
        return is_over

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        return bool(await self._end("cancel", request_id=request_id))

    async def expire(self, *, now: datetime, limit: int = AT_ONCE) -> list[str]:
        return [row["request_id"] for row in await self._end("expire", limit=limit)]

    async def forget(self, *, over_before: datetime, limit: int = AT_ONCE) -> int:
        return len(await self._run("forget", over_before=over_before, limit=limit))

    async def calm(self) -> None:
        """The server sees to that."""

    async def next_expiry(self) -> datetime | None:
        return await self._moment("next_expiry")

    async def next_over(self) -> datetime | None:
        return await self._moment("next_over")

    async def next_delivery(self) -> datetime | None:
        return await self._moment("next_delivery")

    async def claim_deliveries(self, *, limit: int, now: datetime) -> list[DueDelivery]:
        async with self._delivering.claiming():
            rows = await self._run("claim_deliveries", limit=limit)
            return [due_delivery(_held(row, self._delivering)) for row in rows]

    async def claimed_delivery(self, request_id: str) -> DueDelivery | None:
        rows = await self._run("claimed_delivery", request_id=request_id)
        return next((due_delivery(row) for row in rows), None)

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> bool:
        changed = await self._run("deliver_later", request_id=request_id, at=at, **_of_attempt(attempt))
        self._delivering.discard(request_id)
        return bool(changed)

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> bool:
        status = WebhookStatus.SUCCEEDED if is_delivered else WebhookStatus.FAILED
        values = {"webhook_status": status.value, "keep_micros": self._keep_micros, **_of_attempt(attempt)}
        changed = await self._end("finish_delivery", request_id=request_id, **values)
        self._delivering.discard(request_id)
        return bool(changed)

    async def kept_result(self, request_id: str, *, now: datetime) -> DueDelivery | None:
        return next(
            (due_delivery(row) for row in await self._run("kept_result", request_id=request_id)), None
        )

    async def kept_results(
        self, *, since: datetime | None, is_failed: bool, now: datetime, limit: int
    ) -> list[KeptResult]:
        rows = await self._run("kept_results", since=since or 0, is_failed=is_failed, limit=limit)
        return [kept_result(row) for row in rows]

    async def record_redelivery(
        self, request_id: str, attempt: DeliveryAttempt, *, sent_to: str | None, is_delivered: bool
    ) -> bool:
        is_settled = is_delivered and sent_to is None
        return bool(
            await self._run(
                "redelivered",
                request_id=request_id,
                is_settled=is_settled,
                sent_to=sent_to,
                **_of_attempt(attempt),
            )
        )

    async def erase_kept(self, *, now: datetime, limit: int = AT_ONCE) -> int:
        return len(await self._run("erase_kept", limit=limit))

    async def next_erasure(self) -> datetime | None:
        return await self._moment("next_erasure")

    async def record(self, request_id: str) -> RequestRecord | None:
        for row in await self._run("record", request_id=request_id):
            return request_record(row, await self._run("deliveries_of_request", request_id=request_id))
        return None

    async def deliveries(self, request_id: str) -> list[RecordedDelivery]:
        return [
            recorded_delivery(row) for row in await self._run("deliveries_of_request", request_id=request_id)
        ]

    async def latest_deliveries(self, *, limit: int) -> list[RecordedDelivery]:
        return [recorded_delivery(row) for row in await self._run("latest_deliveries", limit=limit)]

    async def counts(self, deployment_id: str) -> QueueCounts:
        (counts,) = [queue_counts(row) for row in await self._run("counts", deployment_id=deployment_id)]
        return counts

    async def open_by_deployment(self) -> dict[str, int]:
        return {row["deployment_id"]: row["open"] for row in await self._run("open_by_deployment")}

    async def check(self) -> None:
        """The database has checksums of its own, and looks at each page that it reads."""

    def health(self) -> QueueHealth:
        error = self._database.error
        return QueueHealth(
            error=None if error is None else str(error), damaged_requests={}, lost_log_pages=0, kept_aside=[]
        )

    async def search(self, which: RequestFilter, *, before: int | None, limit: int) -> list[FoundRequest]:
        rows = await self._run(
            "search",
            before=_NEWEST if before is None else before,
            over_after=which.over_after,
            since=which.since or 0,
            deployment_id=which.deployment_id,
            webhook_status=None if which.webhook_status is None else which.webhook_status.value,
            priority=which.priority,
            status=None if which.status is None else which.status.value,
            limit=limit,
            prefix=which.id_prefix,
            beyond=which.id_prefix + _BEYOND_ALL_LETTERS,
        )
        return [found_request(row) for row in rows]

    async def oldest_open(self) -> FoundRequest | None:
        rows = await self._run("oldest_open")
        return found_request(rows[0]) if rows else None

    async def starting_with(self, prefix: str, *, over_after: datetime, limit: int) -> list[str]:
        beyond = prefix + _BEYOND_ALL_LETTERS
        rows = await self._run(
            "starting_with", prefix=prefix, beyond=beyond, over_after=over_after, limit=limit
        )
        return [row["request_id"] for row in rows]

    async def status_counts(self) -> dict[str, dict[RequestStatus, int]]:
        counts: dict[str, dict[RequestStatus, int]] = {}
        for row in await self._run("status_counts"):
            counts.setdefault(row["deployment_id"], {})[RequestStatus(row["status"])] = row["number"]
        return counts

    async def close(self) -> None:
        if self.lease_seconds is None:
            with contextlib.suppress(RequestQueueError):  # closed already
                await self.give_back()
        await self._database.close()

    @property
    def _lease_micros(self) -> int | None:
        return None if self.lease_seconds is None else round(self.lease_seconds * 1_000_000)

    async def _begin(self, now: datetime) -> None:
        await self._look_at_clock(now)
        (row,) = await self._run("begin_lease", micros=self._lease_micros)
        self._owner = row["owner"]
        self._unsure.clear()
        for claims in (self._delivering, *self._inferring.values()):
            claims.clear()

    async def _finish(self, request_id: str, values: dict[str, Any]) -> bool:
        was_unsure = request_id in self._unsure
        self._unsure.add(request_id)
        rows = await self._end("finish", request_id=request_id, **values)
        if not rows and was_unsure:  # it may have taken effect the last time, and only its answer was missed
            rows = await self._run("finished", request_id=request_id)
        self._unsure.discard(request_id)
        for claims in self._inferring.values():
            claims.discard(request_id)
        return bool(rows)

    async def _look_at_clock(self, now: datetime) -> None:
        (row,) = await self._database.run("time", {})
        self._clock.seen(row["now"], now)

    async def _moment(self, name: str) -> datetime | None:
        (row,) = await self._run(name)
        return moment(row["at"])

    async def _end(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The same as ``_run``; then tell of each request that is over by it."""
        rows = await self._run(name, **parameters)
        if self._on_over is not None:
            for row in rows:
                if row["over_at"] is not None:
                    self._on_over(ended_request(row))
        return rows

    async def _run(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a statement; the caller is its owner. Moments become the database's, and are the caller's again."""
        parameters["owner"] = self._owner
        for key, value in parameters.items():
            if isinstance(value, datetime):
                parameters[key] = self._clock.of_database(micros(value))
        rows = await self._database.run(name, parameters)
        return [self._clock.in_own_time(row) for row in rows]


def _held(row: dict[str, Any], claims: Claims) -> dict[str, Any]:
    claims.add(row["request_id"])
    return row


def _of_attempt(attempt: DeliveryAttempt) -> dict[str, Any]:
    error = attempt.error
    return {
        "sent_at": attempt.sent_at,
        "latency_ms": attempt.latency_ms,
        "status_code": attempt.status_code,
        # PostgreSQL keeps no NUL in a text, and UTF-8 alone.
        "error": None if error is None else error.replace("\0", "").encode("utf-8", "replace").decode(),
        "signature": attempt.signature,
    }
