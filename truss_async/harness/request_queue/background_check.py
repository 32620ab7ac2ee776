"""Looks through a large database for damage while it is at work: in a thread, and holding up nobody who reads or writes.

SQLite looks at one state of the file, as of when it began; meanwhile the log of what is written grows, and is not
emptied. It takes some seconds a gigabyte (1.5 s of processor time), and no lock of Python's.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from ...workers import start_worker
from .said_by_sqlite import said_by_sqlite
from .writer import is_damage

if TYPE_CHECKING:
    from pathlib import Path


async def damage_in(path: Path) -> str | None:
    """What is wrong with the file; None when nothing is, or nobody can say. Cancelled, it stops looking, and waits for nothing."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[str | None] = loop.create_future()
    check = _Check(path)

    def settle(found: str | None) -> None:
        if not outcome.done():
            outcome.set_result(found)

    def turn() -> bool:
        found = check.run()
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(settle, found)
        return False

    start_worker(
        turn, name="truss-async-check", trouble="the request queue was not looked through for damage"
    )
    try:
        return await outcome
    finally:
        check.stop()


class _Check:
    """One look through the file, which another thread may stop."""

    def __init__(self, path: Path) -> None:
        self._address = f"{path.absolute().as_uri()}?mode=ro"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_stopped = False

    def run(self) -> str | None:
        try:
            with closing(sqlite3.connect(self._address, uri=True, check_same_thread=False)) as connection:
                try:
                    return self._look(connection)
                finally:
                    with self._lock:
                        self._connection = None
        except sqlite3.Error as error:
            return str(error) if is_damage(error) else None

    def _look(self, connection: sqlite3.Connection) -> str | None:
        with self._lock:
            if self._is_stopped:
                return None
            self._connection = connection
        with said_by_sqlite():
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return None if found == "ok" else f"malformed: {found}"

    def stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            if self._connection is not None:
                self._connection.interrupt()
