"""Operations on one SQLite connection, in a thread of their own: what waits at a moment shares a commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import TrussAsyncError

if TYPE_CHECKING:
    from .row_file import RowFile

T = TypeVar("T")


class LedgerError(TrussAsyncError):
    """The ledger, or what is written together with it, cannot be used."""


class GroupCommits:
    """All of a group is stored, or nothing; the rows that it appends to the files are written before it is committed.

    Every operation of a group that cannot be stored raises LedgerError.
    """

    def __init__(self, connection: sqlite3.Connection, *, files: Sequence[RowFile]) -> None:
        self._connection = connection
        self._files = files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="truss-async-ledger")
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def run(self, operation: Callable[[], T]) -> T:
        """What the operation returns, once it is stored."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[T] = loop.create_future()
        self._waiting.append((operation, stored))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return await stored

    async def close(self) -> None:
        """Store what waits, and end the thread."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            outcomes: list[Any] | LedgerError
            try:
                outcomes = await loop.run_in_executor(
                    self._thread, self._commit, [operation for operation, _ in group]
                )
            except (sqlite3.Error, OSError, TrussAsyncError) as error:
                outcomes = LedgerError(self._explained(error))
            for number, (_, stored) in enumerate(group):
                if stored.done():  # whoever waited was called away
                    continue
                if isinstance(outcomes, LedgerError):
                    stored.set_exception(outcomes)
                else:
                    stored.set_result(outcomes[number])
        self._writing = None

    def _explained(self, error: Exception) -> str:
        if isinstance(error, TrussAsyncError):
            return f"cannot go on: {error}"
        files = ", ".join(str(file.path) for file in self._files)
        reason = getattr(error, "strerror", None) or error
        return f"cannot write {files} and the ledger: {reason}; nothing is lost: once that is mended, the same command goes on"

    def _commit(self, operations: list[Callable[[], Any]]) -> list[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [operation() for operation in operations]
            for file in self._files:
                file.flush()
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
                for file in self._files:
                    file.undo()
        for file in self._files:
            file.settle()
        return outcomes
