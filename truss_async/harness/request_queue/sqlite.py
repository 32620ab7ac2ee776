"""The request queue in SQLite: write-ahead log, one writer, inputs and outputs erased when they are over."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...contract import RequestStatus, WebhookStatus
from ...contract.harness_calls import QueueHealth
from . import damage
from .checksums import checksum, head_checksum, result_checksum
from .damage_log import DamageLog
from .follow_ups import (
    Rows,
    by_deployment,
    each_row,
    erase_inputs,
    first,
    how_many,
    keep_and_erase_outputs,
    keep_result,
    note_redelivery,
    record_attempt,
    whole_record,
)
from .mended_database import MendedDatabase, Opening
from .protocol import AT_ONCE, RequestQueueError
from .queries import queries
from .reading import DatabaseReader
from .rows import (
    begun_request,
    ended_request,
    errors_json,
    micros,
    next_moment,
    queue_counts,
    recorded_delivery,
    waiting_retry,
)

if TYPE_CHECKING:
    from ...contract import ErrorDetail
    from .damage_log import Finding
    from .protocol import (
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

T = TypeVar("T")

OLDEST_SQLITE = (3, 35, 0)  # RETURNING, DROP COLUMN


class SqliteRequestQueue:
    """A RequestQueue in one SQLite file. Survives the end of the process at any moment."""

    _owner: int | None = None

    def __init__(
        self,
        path: Path,
        *,
        now: datetime,
        lease_seconds: float | None = None,
        is_synced: bool = False,
        is_kept: bool = True,
        keep_results: timedelta | None = None,
        report: Callable[[str], None] = lambda _: None,
        on_over: Callable[[EndedRequest], None] | None = None,
    ) -> None:
        """Open the file, or make it. Without leases, whoever had it open before is its owner no longer.

        With ``is_synced`` each commit is on the disk, and survives a power cut, when a method returns. A file that is
        not to be kept is never waited for to reach the disk. Results stay for redelivery as long as ``keep_results`` after
        their requests are over; None: they are erased then. Of damage, what was saved from it, and what was lost,
        ``report`` is told; and ``on_over`` of each request that is over, once that is kept.

        Raises:
            RequestQueueError: the file cannot be used, or was written by another version.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise RequestQueueError(
                f"SQLite {sqlite3.sqlite_version} is too old; the request queue needs 3.35 or newer"
            )
        self.lease_seconds = lease_seconds
        self._damage = DamageLog(report)
        self._on_over = on_over
        self._keep = keep_results
        self._last_order = 0
        self._reader = DatabaseReader(path)
        self._database = MendedDatabase(
            path,
            Opening(lambda connection: self._begin(connection, now), self._go_on),
            # NORMAL: what is committed survives the process, not the machine.
            synchronous="FULL" if is_synced else "NORMAL" if is_kept else "OFF",
            is_shared=lease_seconds is not None,
            now=micros(now),
            damage=self._damage,
        )

    async def enqueue(self, request: NewRequest) -> None:
        await self._keep_new(request)

    async def begin(self, request: NewRequest) -> ClaimedRequest | None:
        if self.lease_seconds is not None:
            await self._keep_new(request)
            return None
        return begun_request(request, order=await self._keep_new(request, is_begun=True))

    async def _keep_new(self, request: NewRequest, *, is_begun: bool = False) -> int:
        """Return its order."""
        parameters: dict[str, object] = {
            "status": "IN_PROGRESS" if is_begun else "QUEUED",
            "owner": self._owner if is_begun else None,
            "started_at": micros(request.created_at) if is_begun else None,
            "request_id": request.request_id,
            "deployment_id": request.deployment_id,
            "webhook_status": "PENDING" if request.accepted.webhook_endpoint else "NO_WEBHOOK_PROVIDED",
            "priority": request.priority,
            "request": request.accepted.to_json(),
            "created_at": micros(request.created_at),
            "expires_at": micros(request.expires_at),
        }
        head = parameters["head_checksum"] = head_checksum(parameters)
        parameters["input_checksum"] = checksum(request.model_input, start=head)

        def operation(connection: sqlite3.Connection) -> int:
            parameters["last_order"] = self._last_order
            made = connection.execute(_SQL["enqueue"], parameters)
            order = self._last_order = made.lastrowid or 0
            connection.execute(_SQL["enqueue_input"], {"body": request.model_input})
            return order

        return await self._database.run(operation)

    async def renew(self, *, now: datetime) -> bool:
        def begin_another(connection: sqlite3.Connection, renewed: Rows) -> bool:
            if not renewed:
                self._owner = self._begin_lease(connection, now)
            return bool(renewed)

        return await self._run("renew_lease", begin_another, lease_ends_at=self._lease_end(now))

    async def give_back(self) -> None:
        await self._run("end_lease", how_many)

    async def take_over(self, deployment_id: str, *, now: datetime) -> list[WaitingRetry]:
        await self._end_late_leases(now)
        taken = each_row(waiting_retry, by=("priority", "seq"))
        return await self._run("take_over", taken, deployment_id=deployment_id)

    async def release_deliveries(self, *, now: datetime) -> int:
        await self._end_late_leases(now)
        return await self._run("release_deliveries", how_many, now=micros(now))

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        found = await self._run_judging(
            "claim", damage.claimed, at=now, deployment_id=deployment_id, limit=limit, now=micros(now)
        )
        return sorted(found, key=attrgetter("priority", "order"))

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        found = await self._run_judging("resume", damage.claimed, at=None, request_id=request_id)
        return found[0] if found else None

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> bool:
        changed = await self._run(
            "retry_later",
            how_many,
            request_id=request_id,
            attempts=attempts,
            errors=errors_json(errors),
            next_attempt_at=micros(at),
        )
        return changed > 0

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
        def keep_output(connection: sqlite3.Connection, rows: Rows) -> bool:
            for row in rows:
                connection.execute(_SQL["erase_input"], {"seq": row["seq"]})
                if data is not None and row["webhook_status"] == WebhookStatus.PENDING.value:
                    connection.execute(_SQL["keep_output"], {"seq": row["seq"], "body": data})
                if self._keep is not None and row["over_at"] is not None:
                    keep_result(connection, row, data=data, keep=self._keep)
            return bool(rows)

        told = errors_json(errors)
        return await self._end(
            "finish",
            keep_output,
            request_id=request_id,
            status=status.value,
            attempts=attempts,
            errors=told,
            result_checksum=result_checksum(request_id, told, data),
            now=micros(now),
            is_claimed=is_claimed,
            size_bytes=None if data is None else len(data),
        )

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        return bool(await self._end("cancel", erase_inputs, request_id=request_id, now=micros(now)))

    async def expire(self, *, now: datetime, limit: int = AT_ONCE) -> list[str]:
        await self._database.calm()
        return await self._end("expire", erase_inputs, now=micros(now), limit=limit)

    async def forget(self, *, over_before: datetime, limit: int = AT_ONCE) -> int:
        def forget_deliveries(connection: sqlite3.Connection, rows: Rows) -> int:
            connection.executemany(_SQL["forget_deliveries"], [{"seq": row["seq"]} for row in rows])
            return len(rows)

        await self._database.calm()
        return await self._run("forget", forget_deliveries, over_before=micros(over_before), limit=limit)

    async def calm(self) -> None:
        await self._database.calm()

    async def next_expiry(self) -> datetime | None:
        return await self._run("next_expiry", first(next_moment))

    async def next_over(self) -> datetime | None:
        return await self._run("next_over", first(next_moment))

    async def next_delivery(self) -> datetime | None:
        return await self._run("next_delivery", first(next_moment))

    async def claim_deliveries(self, *, limit: int, now: datetime) -> list[DueDelivery]:
        found = await self._run_judging("claim_deliveries", damage.due, at=now, limit=limit, now=micros(now))
        return sorted((each for each in found if each is not None), key=attrgetter("order"))

    async def claimed_delivery(self, request_id: str) -> DueDelivery | None:
        found = await self._run_judging("claimed_delivery", damage.due, at=None, request_id=request_id)
        return found[0] if found else None

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> bool:
        return await self._run(
            "deliver_later", record_attempt(attempt), request_id=request_id, next_delivery_at=micros(at)
        )

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> bool:
        status = WebhookStatus.SUCCEEDED if is_delivered else WebhookStatus.FAILED
        return await self._end(
            "finish_delivery",
            record_attempt(attempt, then=keep_and_erase_outputs(keep=self._keep)),
            request_id=request_id,
            webhook_status=status.value,
            now=micros(now),
        )

    async def kept_result(self, request_id: str, *, now: datetime) -> DueDelivery | None:
        return await self._reader.kept_result(request_id, now=now)

    async def kept_results(
        self, *, since: datetime | None, is_failed: bool, now: datetime, limit: int
    ) -> list[KeptResult]:
        return await self._reader.kept_results(since=since, is_failed=is_failed, now=now, limit=limit)

    async def record_redelivery(
        self, request_id: str, attempt: DeliveryAttempt, *, sent_to: str | None, is_delivered: bool
    ) -> bool:
        values = {"request_id": request_id, "is_settled": is_delivered and sent_to is None}
        noted = note_redelivery(attempt, values, sent_to=sent_to)
        return await self._run("redelivered", noted, **values, now=micros(attempt.sent_at))

    async def erase_kept(self, *, now: datetime, limit: int = AT_ONCE) -> int:
        return await self._run("erase_kept", how_many, now=micros(now), limit=limit)

    async def next_erasure(self) -> datetime | None:
        return await self._run("next_erasure", first(next_moment))

    async def record(self, request_id: str) -> RequestRecord | None:
        return await self._look("record", whole_record, request_id=request_id)

    async def deliveries(self, request_id: str) -> list[RecordedDelivery]:
        return await self._look("deliveries_of_request", each_row(recorded_delivery), request_id=request_id)

    async def latest_deliveries(self, *, limit: int) -> list[RecordedDelivery]:
        return await self._look("latest_deliveries", each_row(recorded_delivery), limit=limit)

    async def counts(self, deployment_id: str) -> QueueCounts:
        (counts,) = await self._look("counts", each_row(queue_counts), deployment_id=deployment_id)
        return counts

    async def open_by_deployment(self) -> dict[str, int]:
        return dict(await self._run("open_by_deployment", each_row(tuple)))

    async def check(self) -> None:
        await self._database.check()

    def health(self) -> QueueHealth:
        error = self._database.error
        return QueueHealth(
            error=None if error is None else str(error),
            damaged_requests=self._damage.requests,
            lost_log_pages=self._damage.lost_log_pages,
            kept_aside=[each.name for each in self._database.kept_aside],
        )

    async def search(self, which: RequestFilter, *, before: int | None, limit: int) -> list[FoundRequest]:
        return await self._reader.search(which, before=before, limit=limit)

    async def oldest_open(self) -> FoundRequest | None:
        return await self._reader.oldest_open()

    async def starting_with(self, prefix: str, *, over_after: datetime, limit: int) -> list[str]:
        return await self._reader.starting_with(prefix, over_after=over_after, limit=limit)

    async def status_counts(self) -> dict[str, dict[RequestStatus, int]]:
        return await self._look("status_counts", by_deployment)

    async def close(self) -> None:
        if self.lease_seconds is None:
            # Closed already, or nobody will know that it ended in peace.
            with contextlib.suppress(RequestQueueError):
                await self._run("end_lease", how_many)
        self._reader.close()
        await self._database.close()

    async def _end_late_leases(self, now: datetime) -> None:
        await self._run("count_interruptions", how_many, now=micros(now))
        await self._run("end_late_leases", how_many, now=micros(now))

    async def _end(self, name: str, then: Callable[[sqlite3.Connection, Rows], T], **parameters: Any) -> T:
        """The same as ``_run``; then tell of each request that is over by it."""
        tell = self._on_over
        if tell is None:
            return await self._run(name, then, **parameters)
        over: Rows = []

        def noting(connection: sqlite3.Connection, rows: Rows) -> T:
            over[:] = [row for row in rows if row["over_at"] is not None]
            return then(connection, rows)

        result = await self._run(name, noting, **parameters)
        for row in over:
            # The disk may have made something else of it.
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                tell(ended_request(row))
        return result

    async def _run(self, name: str, then: Callable[[sqlite3.Connection, Rows], T], **parameters: Any) -> T:
        """In one transaction, run a query and do with its rows what follows from them; the caller is its owner."""
        parameters["owner"] = self._owner
        self._database.now = parameters.get("now", self._database.now)

        def operation(connection: sqlite3.Connection) -> T:
            return then(connection, connection.execute(_SQL[name], parameters).fetchall())

        return await self._database.run(operation)

    async def _look(self, name: str, then: Callable[[sqlite3.Connection, Rows], T], **parameters: Any) -> T:
        """Run a query beside who writes; what cannot be read so the writer reads, who mends what is damaged."""
        try:
            return await self._reader.run(
                lambda connection: then(connection, connection.execute(_SQL[name], parameters).fetchall())
            )
        except RequestQueueError:
            return await self._run(name, then, **parameters)

    async def _run_judging(
        self, name: str, judge: damage.Judge[T], *, at: datetime | None, **parameters: Any
    ) -> list[T]:
        """Run a query, and judge each of its rows; the damage among them is told of once that is committed."""

        def judged(connection: sqlite3.Connection, rows: Rows) -> tuple[list[T], list[Finding]]:
            findings: list[Finding] = []
            return [judge(connection, row, now=at, note=findings.append) for row in rows], findings

        found, findings = await self._run(name, judged, **parameters)
        self._damage.found(findings)
        return found

    def _begin(self, connection: sqlite3.Connection, now: datetime) -> None:
        if self.lease_seconds is None:
            connection.execute(_SQL["count_interruptions"], {"now": None, "owner": None})
            connection.execute(_SQL["end_all_leases"])
        self._owner = self._begin_lease(connection, now)

    def _go_on(self, connection: sqlite3.Connection) -> None:
        connection.execute(_SQL["be_owner"], {"owner": self._owner})

    def _begin_lease(self, connection: sqlite3.Connection, now: datetime) -> int:
        return connection.execute(_SQL["begin_lease"], {"lease_ends_at": self._lease_end(now)}).lastrowid or 0

    def _lease_end(self, now: datetime) -> int | None:
        return None if self.lease_seconds is None else micros(now + timedelta(seconds=self.lease_seconds))


_SQL = queries()
