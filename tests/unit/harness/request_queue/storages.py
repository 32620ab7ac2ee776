"""What keeps a queue, as far as the tests of its promises must know: to open it, to kill who has it open, to look inside."""

import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from truss_async.harness.request_queue import RequestQueue, SqliteRequestQueue

BODIES = "SELECT r.request_id, b.body FROM {} AS b LEFT JOIN requests AS r USING (seq)"


class Storage(Protocol):
    def open(self, *, now: datetime, lease_seconds: float | None = None) -> RequestQueue:
        """One more opening of the same queue."""

    def kill(self) -> None:
        """Whoever has it open does nothing to it any more, and has not closed it."""

    def inputs(self) -> dict[str, bytes]:
        """The model inputs that are kept, by request id."""

    def outputs(self) -> dict[str, bytes]:
        """The model outputs that are kept, by request id."""


class SqliteStorage:
    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self._options = options
        self._lives = 0

    def open(self, *, now: datetime, lease_seconds: float | None = None) -> SqliteRequestQueue:
        return SqliteRequestQueue(self.path, now=now, lease_seconds=lease_seconds, **self._options)

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


STORAGES: dict[str, Callable[[Path], Storage]] = {
    "sqlite": lambda folder: SqliteStorage(folder / "queue.sqlite3", is_kept=False),
}
"""Each is held to the same promises. (The machine does not end, so the disk need not be waited for.)"""
