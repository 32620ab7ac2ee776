"""The latest lines that replicas wrote, as many as a bound on their size allows."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ...contract.harness_calls import LogLine, LogLines

if TYPE_CHECKING:
    from datetime import datetime

    from ...replicas.logs import ReplicaLogLine

MAX_KEPT_LINES: Final = 20_000
MAX_KEPT_CHARACTERS: Final = 8_000_000


class LineKeeper:
    """Keeps lines with a number each; the oldest go first. Everything happens on the harness's event loop."""

    def __init__(self, *, max_lines: int = MAX_KEPT_LINES, max_characters: int = MAX_KEPT_CHARACTERS) -> None:
        self._max_lines = max_lines
        self._max_characters = max_characters
        self._kept: deque[tuple[int, datetime, ReplicaLogLine]] = deque()
        self._characters = 0
        self._last = 0

    def keep(self, line: ReplicaLogLine, *, at: datetime) -> None:
        """A replica wrote a line."""
        self._last += 1
        self._kept.append((self._last, at, line))
        self._characters += len(line.message)
        while len(self._kept) > self._max_lines or self._characters > self._max_characters:
            self._characters -= len(self._kept.popleft()[2].message)

    def latest(self, *, request_id: str | None = None, after: int | None = None, limit: int) -> LogLines:
        """Up to ``limit`` lines, of a request or of all: the first ones after that number, or else the latest."""
        found = [
            each
            for each in self._kept
            if (request_id is None or each[2].request_id == request_id) and (after is None or each[0] > after)
        ]
        shown = found[-limit:] if after is None else found[:limit]
        is_cut = after is not None and len(found) > limit
        return LogLines(
            lines=[_told(number, at, line) for number, at, line in shown],
            next=shown[-1][0] if is_cut else self._last,
        )


def _told(number: int, at: datetime, line: ReplicaLogLine) -> LogLine:
    return LogLine(
        number=number,
        at=at,
        replica=line.replica,
        level=line.level,
        message=line.message,
        request_id=line.request_id,
    )
