"""What keeps a queue, as far as the tests of its promises must know: to open it, to kill who has it open, to look inside."""

import asyncio
import atexit
import copy
import functools
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.postgres_server import postgres_server
from truss_async.harness.request_queue import RequestQueue, RequestQueueError, SqliteRequestQueue
from truss_async.harness.request_queue.postgres import PostgresRequestQueue
from truss_async.harness.request_queue.postgres.schema import bring_up_to_date
from truss_async.harness.request_queue.rows import micros

BODIES = "SELECT r.request_id, b.body FROM {} AS b LEFT JOIN requests AS r USING (seq)"

OF_TESTS = """
CREATE TABLE test_time (micros bigint);
INSERT INTO test_time VALUES (0);
CREATE FUNCTION set_time(bigint) RETURNS void LANGUAGE sql AS 'UPDATE test_time SET micros = $1';
CREATE OR REPLACE FUNCTION now_micros() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT micros FROM test_time';
CREATE FUNCTION empty() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM requests; DELETE FROM owners; DELETE FROM model_inputs; DELETE FROM model_outputs;
  DELETE FROM deliveries; DELETE FROM kept_results; DELETE FROM counts; DELETE FROM documents;
  DELETE FROM call_rates;
  ALTER TABLE requests ALTER seq RESTART; ALTER TABLE owners ALTER number RESTART;
END $$;
"""


class Storage(Protocol):
    keeps_order: bool
    """What is asked for at the same time takes effect in that order."""

    def time_is(self, now: datetime) -> None:
        """What goes by a clock of its own has that time from now on."""

    async def open(self, *, now: datetime, lease_seconds: float | None = None) -> RequestQueue:
        """One more opening of the same queue."""

    def without_options(self) -> "Storage":
        """The same, as it is opened without the options that this one was made with."""

    def kill(self) -> None:
        """Whoever has it open does nothing to it any more, and has not closed it."""

    def inputs(self) -> dict[str, bytes]:
        """The model inputs that are kept, by request id."""

    def outputs(self) -> dict[str, bytes]:
        """The model outputs that are kept, by request id."""


class SqliteStorage:
    keeps_order = True

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self._options = options
        self._lives = 0

    def time_is(self, now: datetime) -> None:
        pass

    async def open(self, *, now: datetime, lease_seconds: float | None = None) -> SqliteRequestQueue:
        return SqliteRequestQueue(self.path, now=now, lease_seconds=lease_seconds, **self._options)

    def without_options(self) -> "SqliteStorage":
        return SqliteStorage(self.path, is_kept=False)

    def kill(self) -> None:
        """Go on with what ``kill -9`` would leave: the files as they lie there at this moment."""
        self._lives += 1
        next_path = self.path.with_name(f"life-{self._lives}.sqlite3")
        for suffix in ("", "-wal"):
            if (left := Path(f"{self.path}{suffix}")).exists():
                shutil.copy(left, f"{next_path}{suffix}")
        self.path = next_path

    def inputs(self) -> dict[str, bytes]:
        return dict(self.execute(BODIES.format("model_inputs")))

    def outputs(self) -> dict[str, bytes]:
        return dict(self.execute(BODIES.format("model_outputs")))

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Look at the file, or prepare it, by SQL; the rows of the last statement."""
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return [connection.execute(statement).fetchall() for statement in statements][-1]
        finally:
            connection.close()


class PostgresStorage:
    """A schema in a real database, whose clock the test moves; there is one at a time."""

    keeps_order = False
    schema = "queue"

    def __init__(self, **options: Any) -> None:
        self.address = postgres_server().address
        self._options = options
        self._opened: list[PostgresRequestQueue] = []
        _make_schema(self.address, self.schema)
        self.execute("SELECT empty()")

    def time_is(self, now: datetime) -> None:
        self.execute(f"SELECT set_time({micros(now)})")

    async def open(self, *, now: datetime, lease_seconds: float | None = None) -> PostgresRequestQueue:
        queue = await PostgresRequestQueue.open(
            self.address, schema=self.schema, now=now, lease_seconds=lease_seconds, **self._options
        )
        self._opened.append(queue)
        return queue

    def without_options(self) -> "PostgresStorage":
        same = copy.copy(self)
        same._options, same._opened = {}, []
        return same

    def kill(self) -> None:
        """Whoever has it open is cut off for good."""

        async def dead(*_: object) -> list[Any]:
            raise RequestQueueError("it was killed")

        for queue in self._opened:
            queue._database.run = dead  # type: ignore[method-assign, assignment]

    def inputs(self) -> dict[str, bytes]:
        return dict(self.execute(BODIES.format("model_inputs")))

    def outputs(self) -> dict[str, bytes]:
        return dict(self.execute(BODIES.format("model_outputs")))

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Look into the database, or prepare it, by SQL; the rows of the last statement."""
        connection = _connection(self.address, self.schema)
        for statement in statements:
            made = connection.execute(statement.encode())
        return made.fetchall() if made.description else []


@functools.cache
def _connection(address: str, schema: str) -> psycopg.Connection:
    connection = psycopg.connect(address, autocommit=True)
    atexit.register(connection.close)
    connection.execute(f"SET search_path TO {schema}".encode())
    return connection


@functools.cache
def _make_schema(address: str, schema: str) -> None:
    asyncio.run(bring_up_to_date(address, schema))
    connection = _connection(address, schema)
    connection.execute(OF_TESTS.encode())


STORAGES: dict[str, Callable[..., Storage]] = {
    "sqlite": lambda folder, **options: SqliteStorage(folder / "queue.sqlite3", is_kept=False, **options),
    "postgres": lambda _, **options: PostgresStorage(**options),
}
"""Each is held to the same promises. (The machine does not end, so the disk need not be waited for.)"""
