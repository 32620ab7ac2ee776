"""The tables of the request queue: made in a new file, and brought up to date in one that an older version wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from .checksums import checksum
from .protocol import RequestQueueError
from .queries import queries

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION: Final = 8
MAX_WRITTEN_ANEW_BYTES: Final = 16 * 1024 * 1024

_SQL = queries()
_COLUMNS: Final = (
    "SELECT m.name, t.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS t WHERE m.type = 'table'"
)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the file one of today's version, and this connection one that can work on it.

    Raises:
        RequestQueueError: a newer version wrote it.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise RequestQueueError(
            f"{path} was written by a newer version of truss-async (schema {found}, this one reads up to {SCHEMA_VERSION}); "
            "use that version, or another state folder"
        )
    connection.create_function("checksum", -1, checksum, deterministic=True)
    connection.create_function("checksum_on", 2, lambda start, body: checksum(body, start=start))
    if found == 0:  # before anything else is written: pages that are free can be given back then
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")  # erased inputs and outputs are overwritten
    connection.execute("PRAGMA temp_store = MEMORY")
    for script, version in _steps_from(found):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {version}; COMMIT;")


def let_it_shrink(connection: sqlite3.Connection) -> None:
    """Let the free pages of a file that an early version wrote be given back, as those of a new one are.

    SQLite writes the file anew for that: done as soon as it opens with so little in it that nobody waits for it. Alone at it.
    """
    mode, pages, free, size = (
        connection.execute(f"PRAGMA {what}").fetchone()[0]
        for what in ("auto_vacuum", "page_count", "freelist_count", "page_size")
    )
    if mode or (pages - free) * size > MAX_WRITTEN_ANEW_BYTES:
        return
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with suppress(sqlite3.OperationalError):  # the disk is full, say: then at another start
        connection.execute("VACUUM")


def check_tables(connection: sqlite3.Connection) -> None:
    """Compare the names in a file of today's version with those that a new one has: a disk may have altered them, too.

    Raises:
        sqlite3.DatabaseError: they differ.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        return
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(_SQL["schema"])
        if set(new.execute(_COLUMNS)) - {tuple(row) for row in connection.execute(_COLUMNS)}:
            raise sqlite3.DatabaseError("malformed: its tables are not as they were made")


def _steps_from(found: int) -> list[tuple[str, int]]:
    """The scripts that bring a file up to date, each with the version it leads to; 0 is a new file."""
    if found == 0:
        return [(_SQL["schema"], SCHEMA_VERSION)]
    return [(_SQL[f"migrate_{version}"], version + 1) for version in range(found, SCHEMA_VERSION)]
