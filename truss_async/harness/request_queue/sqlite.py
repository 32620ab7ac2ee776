"""The request queue in SQLite: write-ahead log, one writer, inputs and outputs erased when they are over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contract import WebhookStatus
from .protocol import QueueCounts, RequestQueueError
from .queries import queries
from .rows import (
    claimed_request,
    due_delivery,
    errors_json,
    micros,
    moment,
    recorded_delivery,
    request_record,
    waiting_retry,
)
from .writer import DatabaseWriter

if TYPE_CHECKING:
    from ...contract import ErrorDetail, RequestStatus
    from .protocol import (
        ClaimedRequest,
        DeliveryAttempt,
        DueDelivery,
        NewRequest,
        RecordedDelivery,
        RequestRecord,
        WaitingRetry,
    )

SCHEMA_VERSION = 4
OLDEST_SQLITE = (3, 35, 0)  # RETURNING, DROP COLUMN


class SqliteRequestQueue:
    """A RequestQueue in one SQLite file. Survives the end of the process at any moment."""

    _owner: int

    def __init__(
        self,
        path: Path,
        *,
        now: datetime,
        lease_seconds: float | None = None,
        is_synced: bool = False,
        is_kept: bool = True,
    ) -> None:
        """Open the file, or make it. Without leases, whoever had it open before is its owner no longer.

        With ``is_synced`` each commit is on the disk, and survives a power cut, when a method returns. A file that is
        not to be kept is never waited for to reach the disk.

        Raises:
            RequestQueueError: the file cannot be used, or was written by another version.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise RequestQueueError(
                f"SQLite {sqlite3.sqlite_version} is too old; the request queue needs 3.35 or newer"
            )
        self.lease_seconds = lease_seconds
        self._last_order = 0
        # NORMAL: what is committed survives the process, not the machine.
        synchronous = "FULL" if is_synced else "NORMAL" if is_kept else "OFF"
        try:
            self._writer = DatabaseWriter(
                path,
                lambda connection: self._prepare(connection, path, now),
                synchronous=synchronous,
            )
        except sqlite3.Error as error:
            raise RequestQueueError(f"cannot open the request queue {path}: {error}") from error

    async def enqueue(self, request: NewRequest) -> None:
        parameters = {
            "request_id": request.request_id,
            "deployment_id": request.deployment_id,
            "webhook_status": "PENDING" if request.accepted.webhook_endpoint else "NO_WEBHOOK_PROVIDED",
            "priority": request.priority,
            "request": request.accepted.to_json(),
            "created_at": micros(request.created_at),
            "expires_at": micros(request.expires_at),
        }

        def operation(connection: sqlite3.Connection) -> None:
            made = connection.execute(_SQL["enqueue"], {**parameters, "last_order": self._last_order})
            self._last_order = made.lastrowid or 0
            connection.execute(_SQL["enqueue_input"], {"body": request.model_input})

        await self._writer.run(operation)

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        def operation(connection: sqlite3.Connection) -> list[ClaimedRequest]:
            parameters = {
                "deployment_id": deployment_id,
                "limit": limit,
                "now": micros(now),
                "owner": self._owner,
            }
            rows = connection.execute(_SQL["claim"], parameters).fetchall()
            # RETURNING promises no order.
            rows.sort(key=lambda row: (row["priority"], row["seq"]))
            return [claimed_request(row) for row in rows]

        return await self._writer.run(operation)

    async def renew(self, *, now: datetime) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            parameters = {"owner": self._owner, "lease_ends_at": self._lease_end(now)}
            is_kept = connection.execute(_SQL["renew_lease"], parameters).rowcount > 0
            if not is_kept:
                self._owner = self._begin_lease(connection, now)
            return is_kept

        return await self._writer.run(operation)

    async def give_back(self) -> None:
        await self._writer.run(
            lambda connection: connection.execute(_SQL["end_lease"], {"owner": self._owner}).rowcount
        )

    async def take_over(self, deployment_id: str, *, now: datetime) -> list[WaitingRetry]:
        def operation(connection: sqlite3.Connection) -> list[WaitingRetry]:
            self._end_late_leases(connection, now)
            parameters = {"deployment_id": deployment_id, "owner": self._owner}
            rows = connection.execute(_SQL["take_over"], parameters).fetchall()
            rows.sort(key=lambda row: (row["priority"], row["seq"]))
            return [waiting_retry(row) for row in rows]

        return await self._writer.run(operation)

    async def release_deliveries(self, *, now: datetime) -> int:
        def operation(connection: sqlite3.Connection) -> int:
            self._end_late_leases(connection, now)
            return connection.execute(_SQL["release_deliveries"], {"now": micros(now)}).rowcount

        return await self._writer.run(operation)

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        parameters = {"request_id": request_id, "owner": self._owner}

        def operation(connection: sqlite3.Connection) -> ClaimedRequest | None:
            rows = connection.execute(_SQL["resume"], parameters).fetchall()
            return claimed_request(rows[0]) if rows else None

        return await self._writer.run(operation)

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> bool:
        parameters = {
            "request_id": request_id,
            "owner": self._owner,
            "attempts": attempts,
            "errors": errors_json(errors),
            "next_attempt_at": micros(at),
        }
        return await self._writer.run(
            lambda connection: connection.execute(_SQL["retry_later"], parameters).rowcount > 0
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
        parameters = {
            "request_id": request_id,
            "owner": self._owner,
            "status": status.value,
            "attempts": attempts,
            "errors": errors_json(errors),
            "now": micros(now),
            "is_claimed": is_claimed,
        }

        def operation(connection: sqlite3.Connection) -> bool:
            rows = connection.execute(_SQL["finish"], parameters).fetchall()
            for row in rows:
                connection.execute(_SQL["erase_input"], {"seq": row["seq"]})
                if data is not None and row["webhook_status"] == WebhookStatus.PENDING.value:
                    connection.execute(_SQL["keep_output"], {"seq": row["seq"], "body": data})
            return bool(rows)

        return await self._writer.run(operation)

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            parameters = {"request_id": request_id, "now": micros(now)}
            rows = connection.execute(_SQL["cancel"], parameters).fetchall()
            _erase(connection, "erase_input", rows)
            return bool(rows)

        return await self._writer.run(operation)

    async def expire(self, *, now: datetime) -> list[str]:
        def operation(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(_SQL["expire"], {"now": micros(now)}).fetchall()
            _erase(connection, "erase_input", rows)
            return [row["request_id"] for row in sorted(rows, key=lambda row: int(row["seq"]))]

        return await self._writer.run(operation)

    async def forget(self, *, over_before: datetime) -> int:
        def operation(connection: sqlite3.Connection) -> int:
            rows = connection.execute(_SQL["forget"], {"over_before": micros(over_before)}).fetchall()
            _erase(connection, "forget_deliveries", rows)
            return len(rows)

        return await self._writer.run(operation)

    async def next_expiry(self) -> datetime | None:
        return await self._moment_of("next_expiry")

    async def next_over(self) -> datetime | None:
        return await self._moment_of("next_over")

    async def next_delivery(self) -> datetime | None:
        return await self._moment_of("next_delivery")

    async def claim_deliveries(self, *, limit: int, now: datetime) -> list[DueDelivery]:
        def operation(connection: sqlite3.Connection) -> list[DueDelivery]:
            parameters = {"limit": limit, "now": micros(now), "owner": self._owner}
            rows = connection.execute(_SQL["claim_deliveries"], parameters).fetchall()
            rows.sort(key=lambda row: int(row["seq"]))
            return [due_delivery(row) for row in rows]

        return await self._writer.run(operation)

    async def claimed_delivery(self, request_id: str) -> DueDelivery | None:
        def operation(connection: sqlite3.Connection) -> DueDelivery | None:
            parameters = {"request_id": request_id, "owner": self._owner}
            row = connection.execute(_SQL["claimed_delivery"], parameters).fetchone()
            return None if row is None else due_delivery(row)

        return await self._writer.run(operation)

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> bool:
        parameters = {"request_id": request_id, "owner": self._owner, "next_delivery_at": micros(at)}

        def operation(connection: sqlite3.Connection) -> bool:
            rows = connection.execute(_SQL["deliver_later"], parameters).fetchall()
            for row in rows:
                _record_delivery(connection, row, attempt)
            return bool(rows)

        return await self._writer.run(operation)

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> bool:
        webhook_status = WebhookStatus.SUCCEEDED if is_delivered else WebhookStatus.FAILED
        parameters = {
            "request_id": request_id,
            "owner": self._owner,
            "webhook_status": webhook_status.value,
            "now": micros(now),
        }

        def operation(connection: sqlite3.Connection) -> bool:
            rows = connection.execute(_SQL["finish_delivery"], parameters).fetchall()
            for row in rows:
                _record_delivery(connection, row, attempt)
                connection.execute(_SQL["erase_output"], {"seq": row["seq"]})
            return bool(rows)

        return await self._writer.run(operation)

    async def record(self, request_id: str) -> RequestRecord | None:
        def operation(connection: sqlite3.Connection) -> RequestRecord | None:
            row = connection.execute(_SQL["record"], {"request_id": request_id}).fetchone()
            if row is None:
                return None
            deliveries = connection.execute(_SQL["deliveries"], {"seq": row["seq"]}).fetchall()
            return request_record(row, deliveries)

        return await self._writer.run(operation)

    async def deliveries(self, request_id: str) -> list[RecordedDelivery]:
        return await self._recorded("deliveries_of_request", {"request_id": request_id})

    async def latest_deliveries(self, *, limit: int) -> list[RecordedDelivery]:
        return await self._recorded("latest_deliveries", {"limit": limit})

    async def counts(self, deployment_id: str) -> QueueCounts:
        def operation(connection: sqlite3.Connection) -> QueueCounts:
            row = connection.execute(_SQL["counts"], {"deployment_id": deployment_id}).fetchone()
            return QueueCounts(row["queued"], row["in_progress"])

        return await self._writer.run(operation)

    async def open_by_deployment(self) -> dict[str, int]:
        def operation(connection: sqlite3.Connection) -> dict[str, int]:
            rows = connection.execute(_SQL["open_by_deployment"])
            return {row["deployment_id"]: row["open"] for row in rows}

        return await self._writer.run(operation)

    async def close(self) -> None:
        await self._writer.close()

    def _prepare(self, connection: sqlite3.Connection, path: Path, now: datetime) -> None:
        _bring_up_to_date(connection, path)
        if self.lease_seconds is None:
            connection.execute(_SQL["end_all_leases"])
        self._owner = self._begin_lease(connection, now)

    def _begin_lease(self, connection: sqlite3.Connection, now: datetime) -> int:
        return connection.execute(_SQL["begin_lease"], {"lease_ends_at": self._lease_end(now)}).lastrowid or 0

    def _end_late_leases(self, connection: sqlite3.Connection, now: datetime) -> None:
        connection.execute(_SQL["end_late_leases"], {"owner": self._owner, "now": micros(now)})

    def _lease_end(self, now: datetime) -> int | None:
        return None if self.lease_seconds is None else micros(now + timedelta(seconds=self.lease_seconds))

    async def _recorded(self, name: str, parameters: dict[str, Any]) -> list[RecordedDelivery]:
        def operation(connection: sqlite3.Connection) -> list[RecordedDelivery]:
            return [recorded_delivery(row) for row in connection.execute(_SQL[name], parameters)]

        return await self._writer.run(operation)

    async def _moment_of(self, name: str) -> datetime | None:
        return await self._writer.run(
            lambda connection: moment(connection.execute(_SQL[name]).fetchone()["at"])
        )


_SQL = queries()


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise RequestQueueError(
            f"{path} was written by a newer version of truss-async (schema {found}, this one reads up to {SCHEMA_VERSION}); "
            "use that version, or another state folder"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")  # erased inputs and outputs are overwritten
    connection.execute("PRAGMA temp_store = MEMORY")
    for script, version in _steps_from(found):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {version}; COMMIT;")


def _steps_from(found: int) -> list[tuple[str, int]]:
    """The scripts that bring a file up to date, each with the version it leads to; 0 is a new file."""
    if found == 0:
        return [(_SQL["schema"], SCHEMA_VERSION)]
    return [(_SQL[f"migrate_{version}"], version + 1) for version in range(found, SCHEMA_VERSION)]


def _erase(connection: sqlite3.Connection, query: str, rows: Iterable[sqlite3.Row]) -> None:
    connection.executemany(_SQL[query], [{"seq": row["seq"]} for row in rows])


def _record_delivery(connection: sqlite3.Connection, row: sqlite3.Row, attempt: DeliveryAttempt) -> None:
    parameters = {
        "seq": row["seq"],
        "attempt": row["delivery_attempts"],
        "sent_at": micros(attempt.sent_at),
        "latency_ms": attempt.latency_ms,
        "status_code": attempt.status_code,
        "error": attempt.error,
    }
    connection.execute(_SQL["record_delivery"], parameters)
