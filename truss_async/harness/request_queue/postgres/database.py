"""The connections to the database: each call is one statement, which takes effect whole, or fails and is told in one line."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from .connecting import OPTIONS, WAIT_SECONDS, explained
from .schema import bring_up_to_date, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..protocol import RequestQueueError

# Of each attempt to connect it says two lines, where the harness says in one that the database is away.
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())

# What a server says that ends; a connection that breaks says nothing.
_OF_AN_END: Final = (
    psycopg.errors.AdminShutdown,
    psycopg.errors.CrashShutdown,
    psycopg.errors.CannotConnectNow,
)
_MAX_CONNECTIONS: Final = 8
# What a node that is stopped, or cut off, leaves open holds nobody up for longer.
_SESSION: Final = (
    "SELECT set_config('search_path', %s, false), set_config('statement_timeout', '15s', false), "
    "set_config('lock_timeout', '10s', false), set_config('idle_in_transaction_session_timeout', '10s', false), "
    "set_config('jit', 'off', false)"
)
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

# Which index leads to what is asked for depends on what that is.
_PLANNED_ANEW: Final = frozenset({"search", "kept_results"})


class Database:
    """A schema of a PostgreSQL database, with the queue's tables in it. ``report`` is told when it goes, and when it is back."""

    def __init__(self, address: str, schema: str, *, report: Callable[[str], None] = lambda _: None) -> None:
        self.schema = schema
        self._report = report
        self._is_away = False
        self.error: RequestQueueError | None = None
        # Who waits for a turn waits for those before him; who has one waits for the database, and not for long.
        self._turns = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._times_unreachable = 0
        self._pool = AsyncConnectionPool(
            address,
            kwargs={
                **OPTIONS,
                "row_factory": dict_row,
            },
            connection_class=psycopg.AsyncConnection[DictRow],
            configure=self._configure,
            min_size=1,
            max_size=_MAX_CONNECTIONS,
            timeout=WAIT_SECONDS,
            reconnect_timeout=WAIT_SECONDS,
            open=False,
        )

    async def open(self, address: str) -> None:
        """Make the tables, or bring them up to date, and open the pool.

        Raises:
            RequestQueueError: the database cannot be used, or a newer version wrote it.
        """
        try:
            await bring_up_to_date(address, self.schema)
            await self._pool.open()
        except psycopg.Error as error:
            raise explained(error) from error

    async def run(self, name: str, parameters: Mapping[str, Any]) -> list[DictRow]:
        """The rows of a named statement.

        Raises:
            RequestQueueError: nothing of it took effect, as far as that can be known.
        """
        times_unreachable = self._times_unreachable
        async with self._turns:
            if times_unreachable != self._times_unreachable and self.error is not None:
                raise self.error  # meanwhile others waited for it in vain
            try:
                async with self._pool.connection() as connection:
                    made = await connection.execute(
                        statements()[name], parameters, prepare=False if name in _PLANNED_ANEW else None
                    )
                    rows = await made.fetchall() if made.description else []
            except (psycopg.Error, PoolTimeout, PoolClosed) as error:
                refusal = self.error = explained(error)
                await self._look_at_others(
                    error
                )  # which others may not need any more: then there is no last error
                raise refusal from error
        self.error = None
        self._note(is_away=False)
        return rows

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _look_at_others(self, error: Exception) -> None:
        if isinstance(error, PoolTimeout):
            self._times_unreachable += 1
            self._note(is_away=True)
        elif isinstance(error, psycopg.OperationalError) and not isinstance(error, PoolClosed):
            if error.sqlstate is None or isinstance(error, _OF_AN_END):
                self._note(is_away=True)
            await self._pool.check()  # they may be broken, too

    def _note(self, *, is_away: bool) -> None:
        if is_away == self._is_away:
            return
        self._is_away = is_away
        if is_away:
            self._report(f"{self.error}; until the database is back, calls are answered 503")
        else:
            self._report("the database is back")

    async def _configure(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        await connection.execute(_SESSION, [f'"{self.schema}"'])
        await connection.execute(_DURABLE)
