"""Looking at an input before anything is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .input_file import read_lines
from .ledger import Entry
from .lines import BadLineError, check_size, default_id, parse_line, request_body

if TYPE_CHECKING:
    from .settings import BatchSettings

MOST_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """``problems`` are the first ones, by line number, of ``bad`` lines in all."""

    lines: int
    bad: int
    largest_bytes: int
    problems: tuple[tuple[int, str], ...]


def survey(source: str, settings: BatchSettings) -> Survey:
    """What the platform would refuse of an input, as far as that can be told without asking it."""
    lines = bad = largest = 0
    problems: list[tuple[int, str]] = []
    with closing(_KnownIds()) as known:
        for place, raw in read_lines(source, note=lambda _: None):
            lines += 1
            largest = max(largest, len(raw))
            try:
                parsed = parse_line(raw, number=place.number, bare=settings.bare)
                known.note(parsed.custom_id, place.number)
                check_size(request_body(parsed, defaults=settings.request_defaults, webhook_endpoint=None))
            except BadLineError as error:
                bad += 1
                if len(problems) < MOST_TOLD:
                    problems.append((place.number, str(error)))
            if lines == settings.limit:
                break
    return Survey(lines, bad, largest, tuple(problems))


class _KnownIds:
    """The custom ids so far. There may be more than fit into memory: SQLite keeps them in a file that goes with it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(
            "CREATE TABLE ids (custom_id TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")

    def note(self, custom_id: str, number: int) -> None:
        """BadLineError when an earlier line has it."""
        added = self._database.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (custom_id, number))
        if not added.rowcount:
            first = self._database.execute("SELECT number FROM ids WHERE custom_id = ?", (custom_id,))
            raise BadLineError(
                f"its custom_id {custom_id!r} is that of line {first.fetchone()[0]}, too; each line needs its own"
            )

    def close(self) -> None:
        self._database.close()


def entries(path: Path, *, bare: bool, note: Callable[[bytes], object]) -> Iterator[Entry]:
    """Each line for the ledger; one that is no line is refused there."""
    for place, raw in read_lines(str(path), note=note):
        try:
            yield Entry(place, parse_line(raw, number=place.number, bare=bare).custom_id)
        except BadLineError as error:
            yield Entry(place, default_id(place.number), str(error))
