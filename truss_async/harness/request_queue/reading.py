"""Reads from the database on connections of its own: whoever writes does not wait for it, nor does the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import lists
from .checksums import is_result_intact
from .protocol import DamagedQueueError, RequestQueueError
from .queries import queries
from .rows import due_delivery, kept_result, micros

if TYPE_CHECKING:
    from datetime import datetime

    from .protocol import DueDelivery, FoundRequest, KeptResult, RequestFilter

T = TypeVar("T")

AT_ONCE: Final = 2
"""So many questions are answered side by side, so that a long one holds up no short one."""
MAX_STEPS: Final = 100_000_000
STEPS_BETWEEN_LOOKS: Final = 100_000
"""Of SQLite's machine: the most takes some seconds, which only what no index leads to can take."""

_SQL = queries()


class DatabaseReader:
    """Each question has a connection, for the file may be another one by the next: what was damaged is replaced.

    Every method raises RequestQueueError when it cannot be read, or takes longer than a question may.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(AT_ONCE, "truss-async-reader")

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What is read of the database as it is at one moment."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)
        except RuntimeError:
            raise RequestQueueError("the request queue is closed") from None
        return await reading

    async def search(self, which: RequestFilter, *, before: int | None, limit: int) -> list[FoundRequest]:
        return await self.run(lambda connection: lists.search(connection, which, before=before, limit=limit))

    async def oldest_open(self) -> FoundRequest | None:
        return await self.run(lists.oldest_open)

    async def starting_with(self, prefix: str, *, over_after: datetime, limit: int) -> list[str]:
        values = {**lists.ids_between(prefix), "over_after": micros(over_after), "limit": limit}
        return await self._all("starting_with", values, lambda row: str(row["request_id"]))

    async def kept_result(self, request_id: str, *, now: datetime) -> DueDelivery | None:
        values = {"request_id": request_id, "now": micros(now)}
        found = await self._all("kept_result", values, _intact_delivery)
        return found[0] if found else None

    async def kept_results(
        self, *, since: datetime | None, is_failed: bool, now: datetime, limit: int
    ) -> list[KeptResult]:
        values = {
            "since": 0 if since is None else micros(since),
            "is_failed": is_failed,
            "now": micros(now),
            "limit": limit,
        }
        return await self._all("kept_results", values, kept_result)

    def close(self) -> None:
        """Wait for what is being read; from here on nothing is."""
        self._threads.shutdown()

    async def _all(self, name: str, values: dict[str, Any], told: Callable[[sqlite3.Row], T]) -> list[T]:
        return await self.run(
            lambda connection: [told(row) for row in connection.execute(_SQL[name], values)]
        )

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        looks = count(1)
        try:
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.set_progress_handler(
                    lambda: next(looks) * STEPS_BETWEEN_LOOKS > MAX_STEPS, STEPS_BETWEEN_LOOKS
                )
                connection.execute("BEGIN")
                return read(connection)
        except (sqlite3.Error, ValueError, TypeError) as error:
            told = f"it takes too long ({error}); request less" if "interrupted" in str(error) else error
            raise RequestQueueError(f"cannot read the request queue {self._path}: {told}") from error


def _intact_delivery(row: sqlite3.Row) -> DueDelivery:
    if not is_result_intact(row):
        raise DamagedQueueError(
            f"the kept result of {row['request_id']} was damaged on the disk of the harness, and is not sent; check the disk"
        )
    return due_delivery(row)
