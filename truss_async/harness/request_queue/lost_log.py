"""Notices that the write-ahead log lost what was committed to it: SQLite ignores a damaged end of it without a word.

Beside the log lies its index, in memory that processes share, and which outlives them: it says how far the log went.
So this costs nothing while requests come in. After a power cut the index may be old, and then says nothing.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .said_by_sqlite import said_by_sqlite

_HEADER: Final = struct.Struct("=16xI28x")  # SQLite's WalIndexHdr, of which there are two; mxFrame
_BACKFILLED: Final = struct.Struct("=I")  # WalCkptInfo.nBackfill


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many pages the log holds, and how many of those are in the database, too."""

    pages: int
    copied: int


def lost_pages(path: Path, aside: Path) -> int:
    """Look at a database that nobody has open; return how many pages its log held that neither of the two holds now.

    A log that is not what it was is copied aside; one that would hide newer pages of the database is taken away.
    """
    log = Path(f"{path}-wal")
    was = _extent(path)
    if was is None or was.pages == was.copied == 0:
        return 0
    is_empty = path.stat().st_size == 0  # then SQLite would throw the log away
    readable = 0 if is_empty else _readable_pages(path)
    if readable >= was.pages and not is_empty:
        return 0
    if log.exists():
        copy = Path(f"{aside}-wal")
        shutil.copyfile(log, copy)
        copy.chmod(0o600)
    if readable < was.copied or is_empty:
        log.unlink(missing_ok=True)
        Path(f"{path}-shm").unlink(missing_ok=True)
    return was.pages if is_empty else was.pages - max(readable, was.copied)


def _extent(path: Path) -> _Extent | None:
    try:
        with Path(f"{path}-shm").open("rb") as file:
            index = file.read(136)
    except OSError:
        return None
    if len(index) < 136 or index[:48] != index[48:96] or not any(index):
        return None
    (pages,) = _HEADER.unpack_from(index)
    (copied,) = _BACKFILLED.unpack_from(index, 96)
    return _Extent(pages, min(copied, pages))


def _readable_pages(path: Path) -> int:
    """As many as SQLite finds whole, from the first. It is opened for reading, so the database stays as it is."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        with suppress(sqlite3.Error), said_by_sqlite():
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        found = _extent(path)
    return 0 if found is None else found.pages
