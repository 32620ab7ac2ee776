"""What SQLite says of a damaged file quotes names from it, which may be no text: Python then raises what is no error of SQLite's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def said_by_sqlite() -> Iterator[None]:
    """Within, such an error is one of SQLite's, too.

    Raises:
        sqlite3.DatabaseError: the file is damaged, and names in it are no text.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise no_text(error) from error


def no_text(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    """The damage that it stands for."""
    return sqlite3.DatabaseError(f"malformed: a name in it is no text ({error.reason})")
