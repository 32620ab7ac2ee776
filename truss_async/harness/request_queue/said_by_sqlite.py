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
    except (UnicodeDecodeError, sqlite3.DatabaseError) as error:
        if (damage := of_no_text(error)) is not None:
            raise damage from error
        raise


def of_no_text(error: BaseException) -> sqlite3.DatabaseError | None:
    """The damage that the error stands for, if it is one of these; Python 3.10 says nothing at all then."""
    is_speechless = type(error) is sqlite3.DatabaseError and not str(error)
    if is_speechless or isinstance(error, UnicodeDecodeError):
        return sqlite3.DatabaseError("malformed: a name in it is no text")
    return None
