"""The tables in the database: made, or brought up to date, by one owner while the others wait."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from ..protocol import RequestQueueError
from ..queries import queries
from .connecting import connected

if TYPE_CHECKING:
    from typing_extensions import LiteralString

SCHEMA_VERSION: Final = 3
_LOCK: Final = 0x7472757373  # any number, the same for all


@cache
def statements() -> dict[str, sql.SQL]:
    """The named queries, with psycopg's marks in the place of ours."""
    made = {}
    for name, text in queries(__package__ or "").items():
        marked: LiteralString = re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", text)
        made[name] = sql.SQL(marked)
    return made


async def bring_up_to_date(address: str, schema: str) -> None:
    """Make the schema and its tables, if they are not there.

    Raises:
        psycopg.Error: the database cannot be reached, or does not allow it.
        RequestQueueError: a newer version wrote it.
    """
    async with await connected(address) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        found = await _version(connection, schema)
        if found > SCHEMA_VERSION:
            raise RequestQueueError(
                f"the schema {schema} was written by a newer version of truss-async (version {found}, this one reads "
                f"up to {SCHEMA_VERSION}); use that version, or another --schema"
            )
        if found == SCHEMA_VERSION:
            return
        name = sql.Identifier(schema)
        there = await connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
        if await there.fetchone() is None:  # of who makes one that is there, a right is asked, too
            await connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        await connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(name))
        if found == 0:
            await connection.execute("CREATE TABLE version (number integer NOT NULL)")
            await connection.execute("INSERT INTO version VALUES (0)")
        for number in range(found + 1, SCHEMA_VERSION + 1):
            await connection.execute(queries(__package__ or "")[f"schema_{number}"].encode())
        await connection.execute("UPDATE version SET number = %s", [SCHEMA_VERSION])


async def _version(connection: psycopg.AsyncConnection, schema: str) -> int:
    table = sql.Identifier(schema, "version")
    found = await connection.execute("SELECT to_regclass(%s)", [table.as_string(connection)])
    if (await found.fetchone()) in (None, (None,)):
        return 0
    row = await (await connection.execute(sql.SQL("SELECT number FROM {}").format(table))).fetchone()
    return 0 if row is None else int(row[0])
