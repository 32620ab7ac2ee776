"""The ledger: what became of each line, in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ...errors import SettingsError
from .group_commits import LedgerError
from .input_file import Place

if TYPE_CHECKING:
    from .verdicts import Failure

Ended: TypeAlias = Literal["done", "failed", "put back", "unanswered", "unsure", "withdrawn"]
"""``unanswered`` and ``unsure``: nobody knows whether it became a request; the first may be the line's own fault."""

MOST_UNANSWERED: Final = 10
"""A line whose submissions were never answered is given up after so many: it may be what ends whoever should answer."""

_APPLICATION: Final = 0x7472626C
_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE batch (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lines (
    number INTEGER PRIMARY KEY,              -- in the file, from 1
    position INTEGER NOT NULL,               -- of its first byte
    length INTEGER NOT NULL,                 -- without the line end
    digest BLOB NOT NULL,
    custom_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'open', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,     -- submissions that became a request, since the last retry
    unanswered INTEGER NOT NULL DEFAULT 0,   -- submissions of which nobody knows whether they did
    submission INTEGER,                      -- the current one, or the last
    request_id TEXT,                         -- of that
    out_start INTEGER, out_length INTEGER,   -- of a done one: its row in the results
    code TEXT, message TEXT                  -- of a failed one
);
CREATE TABLE submissions (
    id INTEGER PRIMARY KEY,
    line INTEGER NOT NULL,
    begun_at REAL NOT NULL,                  -- time of day; stored before the call
    request_id TEXT,                         -- stored after it
    ended TEXT                               -- NULL: it is open
);
"""
# Built once all lines are in: that is much faster.
_INDEXES: Final = """
CREATE UNIQUE INDEX lines_by_id ON lines (custom_id);
CREATE INDEX lines_waiting ON lines (attempts + unanswered, number) WHERE state = 'waiting';
CREATE INDEX lines_open ON lines (submission) WHERE state = 'open';
CREATE INDEX lines_failed ON lines (number) WHERE state = 'failed';
CREATE INDEX lines_by_row ON lines (out_start) WHERE state = 'done';
CREATE INDEX submissions_by_request ON submissions (request_id);
"""
_ENTER: Final = """
INSERT INTO lines (number, position, length, digest, custom_id, state, code, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_DUPLICATE: Final = """
SELECT custom_id, min(number) AS first, max(number) AS last FROM lines
GROUP BY custom_id HAVING count(*) > 1 ORDER BY last LIMIT 1"""
# The plus keeps SQLite from going through all lines by their numbers, for each one that is taken.
_NEXT: Final = """
SELECT number, position, length, digest, custom_id, attempts FROM lines INDEXED BY lines_waiting
WHERE state = 'waiting' AND +number <= ? ORDER BY attempts + unanswered, number LIMIT 1"""
_BEGIN: Final = "INSERT INTO submissions (line, begun_at) VALUES (?, ?)"
_OPEN: Final = "UPDATE lines SET state = 'open', submission = ?, request_id = NULL WHERE number = ? AND state = 'waiting'"
_ACCEPTED: Final = """
UPDATE lines SET request_id = ?, attempts = attempts + 1
WHERE submission = ? AND state = 'open' AND number = ?"""
_PUT_BACK: Final = "UPDATE lines SET state = 'waiting' WHERE number = ? AND submission = ? AND state = 'open'"
_UNANSWERED: Final = """
UPDATE lines SET state = 'waiting', unanswered = unanswered + 1 WHERE number = ? AND submission = ? AND state = 'open'"""
_DONE: Final = """
UPDATE lines SET state = 'done', request_id = ?, out_start = ?, out_length = ?, code = NULL, message = NULL
WHERE number = ?"""
_FAILED: Final = """
UPDATE lines SET state = 'failed', code = ?, message = ? WHERE number = ? AND submission = ? AND state = 'open'"""
_RESET: Final = """
UPDATE lines SET state = 'waiting', attempts = 0, unanswered = 0, code = NULL, message = NULL WHERE state = 'failed'"""
_OPEN_LINES: Final = """
SELECT number, custom_id, submission, request_id, attempts, unanswered FROM lines WHERE state = 'open' ORDER BY submission"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line to enter; ``refused`` says why it cannot become a request."""

    place: Place
    custom_id: str
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A line of which a submission begins; ``attempts`` are those before this one."""

    place: Place
    custom_id: str
    submission: int
    attempts: int


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line whose submission has no end yet; without request id, nobody knows whether it was taken."""

    number: int
    custom_id: str
    submission: int
    request_id: str | None
    attempts: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class FailedLine:
    custom_id: str
    request_id: str | None
    code: str
    message: str


class Ledger:
    """Reads and writes within whatever transaction is open; ``GroupCommits`` makes those. Not for several threads at once.

    Raises:
        LedgerError: the file is none, or of another version.
    """

    def __init__(self, path: Path, *, is_durable: bool = False, may_create: bool = False) -> None:
        self.path = path
        if not may_create and not path.exists():
            raise LedgerError(f"there is no ledger {path}; `batch run` makes one beside its output")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._set_up(is_durable=is_durable)
            except (sqlite3.Error, LedgerError):
                self.connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{path} cannot be used as a ledger: {error}") from None
        self.last_number = 2**62
        self.beyond = 0
        self.counts: Counter[str] = Counter()
        self.submissions = self.unanswered = 0

    def _set_up(self, *, is_durable: bool) -> None:
        self.connection.row_factory = sqlite3.Row
        self._check()
        self.connection.execute("PRAGMA journal_mode = WAL")
        # In WAL, FULL makes a commit wait for the disk; NORMAL is safe when the process dies.
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")

    def _check(self) -> None:
        application = self.connection.execute("PRAGMA application_id").fetchone()[0]
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if application == _APPLICATION and version == _VERSION:
            return
        if application or self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise LedgerError(f"{self.path} is no ledger that this version can read; name another file")

    def close(self) -> None:
        self.connection.close()

    @property
    def is_entered(self) -> bool:
        """Whether the lines of an input are in it."""
        return bool(self.connection.execute("PRAGMA application_id").fetchone()[0])

    def value(self, name: str) -> Any:
        """What the batch has under that name; None without it."""
        row = self.connection.execute("SELECT value FROM batch WHERE name = ?", (name,)).fetchone()
        return None if row is None else row["value"]

    def set_value(self, name: str, value: Any) -> None:
        self.connection.execute("INSERT OR REPLACE INTO batch VALUES (?, ?)", (name, value))

    def enter(self, entries: Iterable[Entry], *, values: Callable[[], dict[str, Any]]) -> None:
        """Store all lines, or nothing; ``values``, asked for once the lines have come, are stored with them.

        Raises:
            SettingsError: two lines have one ``custom_id``.
        """
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _SCHEMA.split(";\n"):
                self.connection.execute(statement)
            self.connection.executemany(_ENTER, map(_entry_row, entries))
            self._refuse_duplicates()
            for statement in _INDEXES.split(";\n"):
                self.connection.execute(statement)
            for name, value in values().items():
                self.set_value(name, value)
            self.connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self.connection.execute(f"PRAGMA user_version = {_VERSION}")
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def _refuse_duplicates(self) -> None:
        twice = self.connection.execute(_DUPLICATE).fetchone()
        if twice is not None:
            raise SettingsError(
                f"the custom_id {twice['custom_id']!r} is on line {twice['first']} and on line {twice['last']}; "
                "each line needs its own"
            )

    def count(self, *, limit: int | None = None) -> None:
        """Find out where all lines stand; only the first so many are to be submitted."""
        if limit is not None:
            row = self.connection.execute(
                "SELECT number FROM lines ORDER BY number LIMIT 1 OFFSET ?", (limit - 1,)
            ).fetchone()
            self.last_number = 2**62 if row is None else row["number"]
        states = "SELECT state, count(*) AS lines FROM lines GROUP BY state"
        self.counts = Counter({row["state"]: row["lines"] for row in self.connection.execute(states)})
        beyond = "SELECT count(*) FROM lines WHERE state = 'waiting' AND number > ?"
        self.beyond = self.connection.execute(beyond, (self.last_number,)).fetchone()[0]
        sums = "SELECT count(*) AS all_of_them, count(*) FILTER (WHERE ended IN ('unanswered', 'unsure')) AS unanswered FROM submissions"
        row = self.connection.execute(sums).fetchone()
        self.submissions, self.unanswered = row["all_of_them"], row["unanswered"]

    @property
    def begun_at(self) -> datetime | None:
        """When the first of its submissions began; None before any has."""
        first = "SELECT begun_at FROM submissions ORDER BY id LIMIT 1"
        row = self.connection.execute(first).fetchone()
        return None if row is None else datetime.fromtimestamp(row["begun_at"], timezone.utc)

    @property
    def waiting_now(self) -> int:
        """Lines that wait and are to be submitted."""
        return self.counts["waiting"] - self.beyond

    def begin(self, *, at: float) -> Begun | None:
        """A submission of the line that waits and has been tried least; None when none waits."""
        row = self.connection.execute(_NEXT, (self.last_number,)).fetchone()
        if row is None:
            return None
        number = row["number"]
        submission = self.connection.execute(_BEGIN, (number, at)).lastrowid or 0
        self.connection.execute(_OPEN, (submission, number))
        self._move("waiting", "open")
        self.submissions += 1
        place = Place(number, row["position"], row["length"], row["digest"])
        return Begun(place, row["custom_id"], submission, row["attempts"])

    def accepted(self, number: int, submission: int, request_id: str) -> bool:
        """The call was answered; False when the line is over already, as its result was faster."""
        self.connection.execute(
            "UPDATE submissions SET request_id = ? WHERE id = ?", (request_id, submission)
        )
        return self.connection.execute(_ACCEPTED, (request_id, submission, number)).rowcount == 1

    def put_back(self, number: int, submission: int, *, ended: Ended) -> bool:
        """The line waits again, without this submission; what certainly made no request is forgotten."""
        if ended == "put back":
            self.connection.execute("DELETE FROM submissions WHERE id = ?", (submission,))
            self.submissions -= 1
        else:
            self._end(submission, ended)
        statement = _UNANSWERED if ended == "unanswered" else _PUT_BACK
        self.unanswered += ended in ("unanswered", "unsure")
        if not self.connection.execute(statement, (number, submission)).rowcount:
            return False
        self._move("open", "waiting")
        return True

    def give_back_unanswered(self, line: OpenLine, *, never: Failure) -> None:
        """The process ended during the call: nobody knows whether it was taken."""
        self._end(line.submission, "unanswered")
        if line.unanswered + 1 >= MOST_UNANSWERED:
            self.failed(line.number, line.submission, code=never.code, message=never.message)
        else:
            self.put_back(line.number, line.submission, ended="unanswered")

    def done(self, number: int, *, request_id: str, start: int, length: int) -> None:
        """The line has its result; it must not have had one."""
        before = self.state(number)
        self.connection.execute(_DONE, (request_id, start, length, number))
        self.connection.execute(
            "UPDATE submissions SET ended = 'done' WHERE request_id = ? AND line = ?", (request_id, number)
        )
        self._move(before, "done")

    def failed(self, number: int, submission: int, *, code: str, message: str) -> bool:
        """The line is given up; False when it is over already, or was submitted again."""
        self._end(submission, "failed")
        if not self.connection.execute(_FAILED, (code, message, number, submission)).rowcount:
            return False
        self._move("open", "failed")
        return True

    def state(self, number: int) -> str:
        row = self.connection.execute("SELECT state FROM lines WHERE number = ?", (number,)).fetchone()
        return str(row["state"])

    def line_of(self, request_id: str, *, submission: int | None) -> int | None:
        """The line that a request belongs to, by either; None: to none."""
        found = "SELECT line FROM submissions WHERE request_id = ? OR id = ? LIMIT 1"
        row = self.connection.execute(found, (request_id, submission)).fetchone()
        return None if row is None else int(row["line"])

    def names_of(self, number: int) -> tuple[str, str | None]:
        """``custom_id``, and the request id of the last submission."""
        row = self.connection.execute(
            "SELECT custom_id, request_id FROM lines WHERE number = ?", (number,)
        ).fetchone()
        return row["custom_id"], row["request_id"]

    def unanswered_of(self, number: int) -> int:
        row = self.connection.execute("SELECT unanswered FROM lines WHERE number = ?", (number,)).fetchone()
        return int(row["unanswered"])

    def open_lines(self) -> list[OpenLine]:
        """Oldest submission first."""
        return [OpenLine(*row) for row in self.connection.execute(_OPEN_LINES)]

    def failed_lines(self) -> Iterator[FailedLine]:
        """In the order of the input."""
        failed = (
            "SELECT custom_id, request_id, code, message FROM lines WHERE state = 'failed' ORDER BY number"
        )
        return (FailedLine(*row) for row in self.connection.execute(failed))

    def failed_by_code(self) -> Counter[str]:
        """How many have failed with each code."""
        failed = (
            "SELECT code, count(*) AS lines FROM lines WHERE state = 'failed' GROUP BY code ORDER BY code"
        )
        return Counter({row["code"]: row["lines"] for row in self.connection.execute(failed)})

    def rows(self) -> Iterator[tuple[int, int]]:
        """Where the results of the done lines are, in the order of the input."""
        done = "SELECT out_start, out_length FROM lines WHERE state = 'done' ORDER BY number"
        return ((row["out_start"], row["out_length"]) for row in self.connection.execute(done))

    def end_of_rows(self, *, size: int) -> int:
        """Where the results end that are wholly within so many bytes; the lines of others are open again."""
        beyond = "state = 'done' AND out_start >= 0 AND out_start + out_length + 1 > ?"
        last = self.connection.execute(
            "SELECT max(out_start) AS last FROM lines WHERE state = 'done'"
        ).fetchone()["last"]
        if last is None:
            return 0
        self.connection.execute(f"UPDATE lines SET state = 'open' WHERE {beyond}", (size,))  # noqa: S608
        row = self.connection.execute(
            "SELECT out_start + out_length + 1 AS past FROM lines WHERE state = 'done' ORDER BY out_start DESC LIMIT 1"
        ).fetchone()
        return 0 if row is None else row["past"]

    def reset_failed(self, codes: Iterable[str], *, others: bool) -> int:
        """Let failed lines wait again, those with these codes, or (``others``) those with any other; how many."""
        listed = tuple(codes)
        marks = ", ".join("?" * len(listed))
        which = f" AND code {'NOT ' if others else ''}IN ({marks})"
        return self.connection.execute(_RESET + which, listed).rowcount

    def _end(self, submission: int, how: Ended) -> None:
        self.connection.execute("UPDATE submissions SET ended = ? WHERE id = ?", (how, submission))

    def _move(self, before: str, after: str) -> None:
        self.counts[before] -= 1
        self.counts[after] += 1


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    place = entry.place
    code = None if entry.refused is None else "REFUSED"
    state = "waiting" if entry.refused is None else "failed"
    return (
        *(place.number, place.position, place.length, place.digest),
        *(entry.custom_id, state, code, entry.refused),
    )
