"""Who owns the database: what is asked for in one turn of the event loop shares one commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .protocol import DamagedQueueError, RequestQueueError, VanishedQueueError
from .said_by_sqlite import of_no_text

T = TypeVar("T")

MAX_GROUP = 512
IDLE_SECONDS = 0.25
MAX_COMMITS_BEFORE_CHECKPOINT = 1024
MAX_LOG_BYTES = 16 * 1024 * 1024
MAX_COPIES = 3
PAGES_GIVEN_BACK_AT_ONCE = 512
SPARE_PAGES = 1024


@dataclass(slots=True)
class _Operation:
    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
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

    A commit that need not reach the disk takes less time than handing it to a thread would, so it is made where it is
    asked for; one that is synced is made in a thread, and what is asked for meanwhile shares the next one.
    """

    def __init__(
        self, path: Path, prepare: Callable[[sqlite3.Connection], None], *, synchronous: str
    ) -> None:
        """``synchronous`` is SQLite's setting of that name: FULL, NORMAL or OFF."""
        self._path = str(path)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute(
                "PRAGMA wal_autocheckpoint = 0"
            )  # the log is emptied aside, see WriteAheadLog
            prepare(self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._thread = ThreadPoolExecutor(1, "truss-async-queue") if synchronous == "FULL" else None
        self._file = _file_at(self._path)
        self._log = WriteAheadLog(path, is_kept=synchronous != "OFF", on_idle=self._give_back_pages)
        self._waiting: list[_Operation] = []
        self._is_busy = False
        self._closed = False

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run the operation in a transaction; return once it is committed."""
        if self._closed:
            raise RequestQueueError("the request queue is closed")
        return await self._put(operation)

    async def calm(self) -> None:
        """Wait until the log is not large, nor being emptied: for what can wait for a moment, and may be much."""
        await self._log.emptied()

    async def close(self) -> None:
        """Finish what waits, empty the log, close the database. Harmless when done twice."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(RequestQueueError):
            await self._put(lambda _: None)  # the last of the queue
        if self._thread is not None:
            self._thread.shutdown()
        await self._log.close()
        self._connection.close()

    def _put(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Operation(operation, future))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._start_group, loop)
        return future

    def _give_back_pages(self) -> None:
        """Let the file become smaller, a little at each idle moment, but for some pages that will be wanted again."""
        if self._is_busy or self._closed:
            return
        free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
        pages = min(free - SPARE_PAGES, PAGES_GIVEN_BACK_AT_ONCE)
        if pages > 0 and self._connection.execute("PRAGMA auto_vacuum").fetchone()[0]:
            given = self._put(partial(_give_back, pages=pages))
            given.add_done_callback(asyncio.Future.exception)  # there is always a next time

    def _start_group(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        if self._thread is None:
            try:
                self._commit(group)
            finally:
                self._end_group(loop, group)
        else:
            committing = loop.run_in_executor(self._thread, self._commit, group)
            committing.add_done_callback(lambda _: self._end_group(loop, group))

    def _end_group(self, loop: asyncio.AbstractEventLoop, group: list[_Operation]) -> None:
        for operation in group:
            operation.settle()
        self._log.written(loop)
        if self._waiting:
            loop.call_soon(self._start_group, loop)
        else:
            self._is_busy = False

    def _commit(self, group: list[_Operation]) -> None:
        """Commit the group as one; when anything in it fails, each operation alone."""
        try:
            self._transact(group)
        except sqlite3.Error:
            for operation in group:
                operation.result = None
                try:
                    self._transact_leniently(operation)
                except sqlite3.Error as error:
                    operation.error = _explained(error, self._path)
        except BaseException:  # a defect: nobody may wait for ever, nor believe that it was done
            for operation in group:
                operation.error = RequestQueueError("the request queue has broken down")
            raise

    def _transact_leniently(self, operation: _Operation) -> None:
        """Whoever reads a text that the disk made no text of finds that it is not what was written."""
        try:
            self._transact([operation])
        except sqlite3.OperationalError as error:
            if "decode to UTF-8" not in str(error):
                raise
            self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
            try:
                self._transact([operation])
            finally:
                self._connection.text_factory = str

    def _transact(self, group: list[_Operation]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for operation in group:
                operation.result = operation.run(connection)
            if _file_at(self._path) != self._file:
                raise sqlite3.OperationalError(_VANISHED)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if (damage := of_no_text(error)) is not None:
                raise damage from error
            raise


class WriteAheadLog:
    """Empties the write-ahead log, in which erased bytes live on: when the database has been idle for a moment, and
    after so many commits at the latest.

    Copying the log into the database waits for the disk, so a thread does it. Once nothing was written meanwhile, the
    log is cut off, which takes no time; under a load that never pauses, a few last pages are copied then.
    """

    def __init__(self, path: Path, *, is_kept: bool, on_idle: Callable[[], None]) -> None:
        # Never used by two threads at once; waits for nobody, for there is always a next time.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        if not is_kept:
            self._connection.execute("PRAGMA synchronous = OFF")
        self._thread = ThreadPoolExecutor(1, "truss-async-checkpoint")
        self._file = path.with_name(f"{path.name}-wal")
        self._on_idle = on_idle
        self._commits = 0
        self._commits_seen = 0
        self._timer: asyncio.TimerHandle | None = None
        self._emptying: asyncio.Task[None] | None = None

    def written(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something was committed."""
        self._commits += 1
        if self._commits >= MAX_COMMITS_BEFORE_CHECKPOINT:
            self._empty(loop)
        elif self._timer is None:
            self._look_again(loop)

    async def emptied(self) -> None:
        """Begin to empty it if it is large, and wait for as long as it is being emptied."""
        with contextlib.suppress(OSError):
            if self._file.stat().st_size > MAX_LOG_BYTES:
                self._empty(asyncio.get_running_loop())
        if self._emptying is not None and not self._emptying.done():
            await asyncio.wait([self._emptying])

    async def close(self) -> None:
        """Empty it for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        if self._emptying is not None:
            await asyncio.wait([self._emptying])
        self._cut_off()
        self._thread.shutdown()
        self._connection.close()

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._commits_seen = self._commits
        self._timer = loop.call_later(IDLE_SECONDS, self._looked, loop)

    def _looked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._commits == self._commits_seen:
            self._on_idle()
            self._empty(loop)
        else:
            self._look_again(loop)

    def _empty(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._emptying is None or self._emptying.done():
            self._emptying = loop.create_task(self._copy_and_cut_off(loop))

    async def _copy_and_cut_off(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(MAX_COPIES):
            before = self._commits
            await loop.run_in_executor(self._thread, self._checkpoint, "PASSIVE")
            if before == self._commits:
                break
        if self._cut_off():
            self._commits = 0
        elif self._timer is None:
            self._look_again(loop)

    def _cut_off(self) -> bool:
        return self._checkpoint("TRUNCATE")

    def _checkpoint(self, mode: str) -> bool:
        """Whether it was done; not with a full disk, say, or beside somebody who writes."""
        try:
            return not self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
        except (sqlite3.Error, UnicodeDecodeError):
            return False


def _give_back(connection: sqlite3.Connection, *, pages: int) -> None:
    for _ in range(pages):  # Python's module makes one step of what gives back several
        connection.execute("PRAGMA incremental_vacuum(1)")


_VANISHED = "the file no longer exists"
_DAMAGE = ("malformed", "not a database", "no such table", "no such column", "no such index")


def _file_at(path: str) -> tuple[int, int] | None:
    """Which file that is."""
    try:
        found = os.stat(path)  # noqa: PTH116 (at each commit)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_damage(error: Exception) -> bool:
    """Whether the database is not what was written. (What it says has a code only from Python 3.11 on.)"""
    text = str(error)
    return any(words in text for words in _DAMAGE)


def _explained(error: sqlite3.Error, path: str) -> RequestQueueError:
    text = str(error)
    what = f"cannot use the request queue {path}: {text}"
    if text == _VANISHED:
        remedy = "new requests would be lost; stop the harness, restore the state folder, and start it again"
        return VanishedQueueError(f"{what}; {remedy}")
    if is_damage(error):
        return DamagedQueueError(what)
    remedies = {
        "full": "free some space on the disk of the state folder",
        "readonly": "the state folder must be writable",
        "I/O": "check the disk of the state folder, and at its quotas",
    }
    remedy = next((f"; {remedy}" for word, remedy in remedies.items() if word in text), "")
    return RequestQueueError(f"cannot {'write' if remedy else 'use'} the request queue: {text}{remedy}")
