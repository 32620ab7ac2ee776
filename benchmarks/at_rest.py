"""What a harness asks of SQLite for one request, when nothing else is going on."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any, ClassVar

from truss_async import Harness, HarnessSettings

from .harness import SUBMIT, body
from .load import WARM_UP, Caller, Receiver
from .report import Figure
from .servers import answer_at_once

REQUESTS = 20
AROUND = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")
"""What begins or ends a transaction, or empties the log, and is no statement of a request."""


class TracedConnection(sqlite3.Connection):
    """A connection whose statements are kept, whoever makes it."""

    statements: ClassVar[list[str]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.set_trace_callback(self.statements.append)


@contextmanager
def traced_connections() -> Iterator[None]:
    """Those that this process makes meanwhile."""
    connect = sqlite3.connect
    setattr(sqlite3, "connect", partial(connect, factory=TracedConnection))  # noqa: B010 - mypy knows no partial overload
    try:
        yield
    finally:
        sqlite3.connect = connect


async def one_after_the_other(url: str, count: int) -> None:
    """So many requests, each submitted once the webhook of the one before has come."""
    async with Receiver() as receiver, Caller(f"{url}/{SUBMIT}", body(receiver.url)) as caller:
        for number in range(count):
            await caller.post()
            await receiver.wait_for(number + 1, timeout_seconds=30)


def measure() -> list[Figure]:
    """Commits and statements a request."""
    with tempfile.TemporaryDirectory() as folder, traced_connections():
        settings = HarnessSettings(model=answer_at_once, port=0, limits="none", state_dir=folder, quiet=True)
        with Harness(settings, stories=False) as harness:
            asyncio.run(one_after_the_other(harness.url, WARM_UP + REQUESTS + 1))
            # A trigger is traced once more with the text, and the values, of the statement that set it off.
            seen = [text.lstrip().upper() for text, _ in groupby(TracedConnection.statements)]
    accepted = [place for place, text in enumerate(seen) if text.startswith("INSERT INTO REQUESTS")]
    seen = seen[accepted[WARM_UP] : accepted[-1]]  # the last one's end may not have been recorded yet
    commits = sum(text.startswith("COMMIT") for text in seen)
    others = sum(not text.startswith((*AROUND, "--")) for text in seen)
    return [
        Figure("commits a request at rest", commits / REQUESTS, "", 3, 3, at_most=True),
        Figure("statements a request at rest", others / REQUESTS, "", 7, 6, at_most=True),
    ]
