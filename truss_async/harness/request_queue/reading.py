"""Reads lists of requests from the database, on connections of its own: whoever writes does not wait for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .checksums import is_result_intact
from .protocol import DamagedQueueError, RequestQueueError
from .queries import queries
from .rows import due_delivery, found_request, kept_result, micros

if TYPE_CHECKING:
    from datetime import datetime

    from .protocol import DueDelivery, FoundRequest, KeptResult, RequestFilter

T = TypeVar("T")

_SQL = queries()
_ANY_STATUS: Final = "(:status IS NULL OR status = :status)"
_NEWEST: Final = 2**63 - 1
_BEYOND_ALL_LETTERS: Final = "\U0010ffff"


class DatabaseReader:
    """Each question has a connection, for the file may be another one by the next: what was damaged is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def search(self, which: RequestFilter, *, before: int | None, limit: int) -> list[FoundRequest]:
        query = _SQL["search"]
        if which.status is not None:
            # An index of some statuses is used only where the status stands in the query; it is one of an enumeration.
            query = query.replace(_ANY_STATUS, f"status = '{which.status.value}'")
        parameters = {
            "before": _NEWEST if before is None else before,
            "over_after": micros(which.over_after),
            "since": 0 if which.since is None else micros(which.since),
            "deployment_id": which.deployment_id,
            "webhook_status": None if which.webhook_status is None else which.webhook_status.value,
            "priority": which.priority,
            "status": None,
            "limit": limit,
        }
        return await self._read(query, parameters, found_request)

    async def starting_with(self, prefix: str, *, over_after: datetime, limit: int) -> list[str]:
        parameters = {
            "prefix": prefix,
            "beyond": prefix + _BEYOND_ALL_LETTERS,
            "over_after": micros(over_after),
            "limit": limit,
        }
        return await self._read(_SQL["starting_with"], parameters, lambda row: str(row["request_id"]))

    async def kept_result(self, request_id: str, *, now: datetime) -> DueDelivery | None:
        parameters = {"request_id": request_id, "now": micros(now)}
        found = await self._read(_SQL["kept_result"], parameters, _intact_delivery)
        return found[0] if found else None

    async def kept_results(
        self, *, since: datetime | None, is_failed: bool, now: datetime, limit: int
    ) -> list[KeptResult]:
        parameters = {
            "since": 0 if since is None else micros(since),
            "is_failed": is_failed,
            "now": micros(now),
            "limit": limit,
        }
        return await self._read(_SQL["kept_results"], parameters, kept_result)

    async def _read(
        self, query: str, parameters: dict[str, Any], read: Callable[[sqlite3.Row], T]
    ) -> list[T]:
        return await asyncio.to_thread(self._read_now, query, parameters, read)

    def _read_now(self, query: str, parameters: dict[str, Any], read: Callable[[sqlite3.Row], T]) -> list[T]:
        try:
            with closing(
                sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            ) as connection:
                connection.row_factory = sqlite3.Row
                return [read(row) for row in connection.execute(query, parameters)]
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise RequestQueueError(f"cannot read the request queue {self._path}: {error}") from error


def _intact_delivery(row: sqlite3.Row) -> DueDelivery:
    if not is_result_intact(row):
        raise DamagedQueueError(
            f"the kept result of {row['request_id']} was damaged on the disk of the harness, and is not sent; look at the disk"
        )
    return due_delivery(row)
