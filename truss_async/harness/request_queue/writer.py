"""One thread that owns the database and groups what waits at a moment into one commit."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .protocol import RequestQueueError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

MAX_GROUP = 512
IDLE_SECONDS = 0.25
MAX_GROUPS_BEFORE_CHECKPOINT = 256


@dataclass(slots=True)
class _Operation:
    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    erases: bool
    result: Any = None
    error: RequestQueueError | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class DatabaseWriter:
    """Runs operations on the database, in order, many to a commit.

    Erased bytes live on in the write-ahead log until it is truncated; that is done as soon as the database has been
    idle for a moment, and after so many commits at the latest.
    """

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._operations: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            prepare(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="truss-async-queue", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], T], *, erases: bool = False) -> T:
        """Run the operation in a transaction; return once it is committed."""
        if self._closed:
            raise RequestQueueError("the request queue is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._operations.put(_Operation(operation, future, erases))
        return await future

    def close(self) -> None:
        """Finish what waits, truncate the log, close the database."""
        if not self._closed:
            self._closed = True
            self._operations.put(None)
            self._thread.join()
            self._connection.close()

    def _work(self) -> None:
        group: list[_Operation] = []
        try:
            self._serve(group)
        finally:
            # Only a defect brings it here with work left: then nobody may wait for ever.
            self._closed = True
            while not self._operations.empty():
                group.extend(operation for operation in [self._operations.get()] if operation)
            for operation in group:
                operation.error = operation.error or RequestQueueError("the request queue has broken down")
            self._settle(group)

    def _serve(self, group: list[_Operation]) -> None:
        groups_since_erasure: int | None = None
        while True:
            try:
                first = self._operations.get(timeout=None if groups_since_erasure is None else IDLE_SECONDS)
            except queue.Empty:
                groups_since_erasure = self._truncate_log(groups_since_erasure)
                continue
            is_last = self._gather(first, group)
            if group:
                self._commit(group)
                if groups_since_erasure is not None:
                    groups_since_erasure += 1
                elif any(operation.erases for operation in group):
                    groups_since_erasure = 0
                self._settle(group)
                group.clear()
            if is_last:
                self._truncate_log(0)
                return
            if groups_since_erasure is not None and groups_since_erasure >= MAX_GROUPS_BEFORE_CHECKPOINT:
                groups_since_erasure = self._truncate_log(groups_since_erasure)

    def _gather(self, item: _Operation | None, group: list[_Operation]) -> bool:
        """Fill the group with what waits; return whether the queue is to be closed after it."""
        while item is not None:
            group.append(item)
            if len(group) == MAX_GROUP:
                return False
            try:
                item = self._operations.get_nowait()
            except queue.Empty:
                return False
        return True

    def _commit(self, group: list[_Operation]) -> None:
        """Commit the group as one; when anything in it fails, each operation alone."""
        try:
            self._transact(group)
        except sqlite3.Error:
            for operation in group:
                operation.result = None
                try:
                    self._transact([operation])
                except sqlite3.Error as error:
                    operation.error = RequestQueueError(_explain(error))

    def _transact(self, group: list[_Operation]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for operation in group:
                operation.result = operation.run(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @staticmethod
    def _settle(group: list[_Operation]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Operation]] = {}
        for operation in group:
            by_loop.setdefault(operation.future.get_loop(), []).append(operation)
        for loop, operations in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle_all, operations)

    def _truncate_log(self, groups_since_erasure: int | None) -> int | None:
        """Return what is left to do: None when the log is empty."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            return groups_since_erasure  # a full disk, say: tried again when idle
        return None


def _settle_all(operations: list[_Operation]) -> None:
    for operation in operations:
        operation.settle()


def _explain(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return f"cannot write the request queue: {text}; free some space on the disk of the state folder"
    if "readonly" in text:
        return f"cannot write the request queue: {text}; the state folder must be writable"
    if "I/O" in text:
        return (
            f"cannot write the request queue: {text}; look at the disk of the state folder, and at its quotas"
        )
    return f"cannot use the request queue: {text}"
