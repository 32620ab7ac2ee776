"""A database file at work, which goes on when the disk has damaged it: what can be read is saved into a new one."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .background_check import damage_in
from .lost_log import lost_pages
from .protocol import DamagedQueueError, RequestQueueError, VanishedQueueError
from .said_by_sqlite import said_by_sqlite
from .salvage import check, salvage
from .schema import SCHEMA_VERSION, bring_up_to_date, check_tables, let_it_shrink
from .writer import DatabaseWriter, is_damage

if TYPE_CHECKING:
    from .damage_log import DamageLog

T = TypeVar("T")

_SUFFIXES = (".sqlite3", ".sqlite3-wal")


@dataclass(frozen=True, slots=True)
class Opening:
    """What is done to the database when it is opened, and when it was mended while it was open."""

    at_first: Callable[[sqlite3.Connection], None]
    once_mended: Callable[[sqlite3.Connection], None]


class MendedDatabase:
    """Runs operations, as a DatabaseWriter does. Damage that one of them meets is mended, and the operation run again.

    Where others have the file open, too, it is not touched: damage is told, and stays.
    """

    def __init__(
        self,
        path: Path,
        opening: Opening,
        *,
        synchronous: str,
        is_shared: bool,
        now: int,
        damage: DamageLog,
    ) -> None:
        """``synchronous`` is SQLite's setting of that name; ``now``, in microseconds, is when what is lost has failed.

        Raises:
            RequestQueueError: the file cannot be used, or was written by another version.
        """
        self.now = now
        self._path = path
        self._opening = opening
        self._synchronous = synchronous
        self._is_shared = is_shared
        self._damage = damage
        self._mending: asyncio.Task[None] | None = None
        self._error: RequestQueueError | None = None
        self._unmendable: DamagedQueueError | None = None
        self._is_checked = False
        try:
            if not is_shared:
                self._report_lost_log()
            self._writer = self._open()
        except (sqlite3.Error, OSError) as error:
            remedy = "; move it away to start with an empty one" if is_damage(error) else ""
            raise RequestQueueError(f"cannot open the request queue {path}: {error}{remedy}") from error

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run the operation in a transaction; return once it is committed.

        Raises:
            RequestQueueError: it was not.
        """
        try:
            if self._mending is not None:
                await self._mended()
            if self._unmendable is not None:
                raise self._unmendable
            writer = self._writer
            try:
                result = await writer.run(operation)
            except RequestQueueError as error:
                if not isinstance(error, DamagedQueueError) and writer is self._writer:
                    raise
                await self._mend(writer, error)
                result = await self._writer.run(operation)
        except RequestQueueError as error:
            if error.is_lasting:
                self._note_lasting(error)
            raise
        self._error = None
        return result

    async def check(self) -> None:
        """Look for damage in a file that was too large for that when it was opened; mend what is found."""
        if self._is_checked or self._is_shared:
            return
        writer = self._writer
        found = await damage_in(self._path)
        self._is_checked = True
        if found is not None:
            try:
                await self._mend(writer, DamagedQueueError(f"{self._path}: {found}"))
            except RequestQueueError as error:
                self._note_lasting(error)
                self._damage.tell(str(error))

    async def calm(self) -> None:
        """Wait until the log is not large, nor being emptied: for what can wait for a moment, and may be much."""
        await self._writer.calm()

    async def close(self) -> None:
        """Finish what waits, and close the database. Harmless when done twice."""
        await self._mended()
        await self._writer.close()

    @property
    def error(self) -> RequestQueueError | None:
        """What stands in the way of every operation, and does not pass by itself; None: nothing does."""
        return self._error

    @property
    def kept_aside(self) -> list[Path]:
        """The damaged files that lie beside this one, until somebody takes them away."""
        return sorted(self._path.parent.glob(f"{self._path.stem}-damaged-*"))

    def _note_lasting(self, error: RequestQueueError) -> None:
        if self._error is None and isinstance(
            error, VanishedQueueError
        ):  # callers are told each time, and whoever runs it once
            self._damage.tell(str(error))
        self._error = error

    async def _mend(self, writer: DatabaseWriter, error: RequestQueueError) -> None:
        """Mend a database in which that writer met damage, if nobody has by then. Whoever waits for it may go away."""
        if self._is_shared:
            raise error
        await self._mended()
        if self._unmendable is not None:
            raise self._unmendable
        if writer is self._writer:
            self._mending = asyncio.create_task(self._replace(writer, error), name="mend the request queue")
            await asyncio.shield(self._mending)

    async def _mended(self) -> None:
        """Wait for as long as it is being mended; whatever comes of it."""
        while self._mending is not None and not self._mending.done():
            await asyncio.wait([self._mending])

    async def _replace(self, writer: DatabaseWriter, error: RequestQueueError) -> None:
        """Save what can be saved, and go on with that; in a thread, for there may be much."""
        await writer.close()
        try:
            told, lost = await asyncio.to_thread(self._salvage, error)
            self._damage.file_mended(told, lost=lost)
            self._writer = self._opened(self._opening.once_mended)
        except (sqlite3.Error, OSError) as reason:
            self._unmendable = DamagedQueueError(
                f"{error}; it cannot be mended: {reason}; "
                "stop the harness, check the disk, move the file away, and start again"
            )
            raise self._unmendable from reason

    def _open(self) -> DatabaseWriter:
        def checked(connection: sqlite3.Connection) -> None:
            self._is_checked = check(connection, self._path)
            check_tables(connection)

        try:
            return self._opened(self._opening.at_first, before=checked)
        except sqlite3.Error as error:
            if self._is_shared or not is_damage(error):
                raise
            told, lost = self._salvage(error)
            self._damage.file_mended(told, lost=lost)
            return self._opened(self._opening.at_first, before=checked)

    def _opened(
        self,
        then: Callable[[sqlite3.Connection], None],
        *,
        before: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> DatabaseWriter:
        def prepare(connection: sqlite3.Connection) -> None:
            before(connection)
            bring_up_to_date(connection, self._path)
            if not self._is_shared:
                let_it_shrink(connection)
            then(connection)

        with said_by_sqlite():
            return DatabaseWriter(self._path, prepare, synchronous=self._synchronous)

    def _salvage(self, error: Exception) -> tuple[str, int]:
        """Return what to say of it, and how many requests are lost."""
        aside = _aside(self._path)
        with said_by_sqlite():
            salvaged = salvage(
                self._path,
                aside,
                now=self.now,
                version=SCHEMA_VERSION,
                prepare=lambda connection: bring_up_to_date(connection, self._path),
            )
        lost = f"; {len(salvaged.lost)} were lost, and have failed: {', '.join(salvaged.lost[:20])}"
        told = (
            f"the request queue {self._path} was damaged ({error}): {salvaged.requests} requests were saved"
            f"{lost if salvaged.lost else ''}, and what else was in it is lost; the damaged file is kept as {aside}; check the disk"
        )
        return told, len(salvaged.lost)

    def _report_lost_log(self) -> None:
        aside = _aside(self._path)
        if pages := lost_pages(self._path, aside):
            self._damage.log_lost(
                f"the log of the request queue {self._path}-wal was damaged or cut off: the last {pages} pages of it are lost, "
                "with requests that were accepted, or what was done with them; look for their ids with the callers; "
                f"what is left of the log is kept as {aside}-wal; check the disk",
                pages=pages,
            )


def _aside(path: Path) -> Path:
    """Where what is damaged is kept: a name that is free."""
    number = 1
    while any(path.with_name(f"{path.stem}-damaged-{number}{suffix}").exists() for suffix in _SUFFIXES):
        number += 1
    return path.with_name(f"{path.stem}-damaged-{number}.sqlite3")
