"""Drains a model server's stdout and stderr, however much it writes, and remembers why it would not load."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK, within
from .logs import LineSplitter, ReplicaLogLine, parse_line

if TYPE_CHECKING:
    from ..clock import Clock

MAX_LINES_A_SECOND: Final = 500
# Errors have a share of their own: neither chatter nor each other's tracebacks, of some hundred lines each, hide why
# a request failed.
MAX_ERROR_LINES_A_SECOND: Final = 5_000
_ERROR_LEVELS: Final = frozenset({"error", "critical"})
_CHUNK_BYTES: Final = 64 * 1024
_FLOOD_PAUSE_SECONDS: Final = 0.005
_QUIET_SECONDS: Final = 1.0
_LOAD_FAILED_MESSAGE: Final = "Exception while loading model"


class ServerOutput:
    """One run of a model server: each line of it goes to ``log``, a flood only in part.

    ``rename`` is applied to every text, so that tracebacks name the user's files and not their copies.
    """

    def __init__(
        self,
        replica: str,
        *,
        log: Callable[[ReplicaLogLine], None],
        clock: Clock,
        rename: Callable[[str], str] = str,
    ) -> None:
        self._replica = replica
        self._log = log
        self._clock = clock
        self._rename = rename
        self._second: datetime | None = None
        self._lines_this_second = self._error_lines_this_second = 0
        self._dropped = 0
        self._tail: deque[str] = deque(maxlen=60)
        self.load_failed = asyncio.Event()
        self.load_traceback: str | None = None

    async def drain(self, stream: asyncio.StreamReader) -> None:
        """Read the stream to its end."""
        splitter = LineSplitter()
        while chunk := await self._read(stream):
            self._open_window()
            for line in splitter.feed(chunk):
                self._take(line)
            # A flood must not keep the event loop from everybody else. It is let collect a little, for each look costs.
            is_flood = self._lines_this_second >= MAX_LINES_A_SECOND
            await SYSTEM_CLOCK.sleep(_FLOOD_PAUSE_SECONDS if is_flood else 0)
        for line in splitter.close():
            self._take(line)
        self._report_dropped()

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        # What was left out is said as soon as it is quiet, not with the next line, which may never come.
        if self._dropped:
            with contextlib.suppress(TimeoutError):
                return await within(_QUIET_SECONDS, stream.read(_CHUNK_BYTES), clock=SYSTEM_CLOCK)
            self._report_dropped()
        return await stream.read(_CHUNK_BYTES)

    def failure(self) -> str | None:
        """The traceback of the failed load; else the one that ended the process; else nothing."""
        if self.load_traceback is not None:
            return self.load_traceback
        lines = list(self._tail)
        starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        return "\n".join(lines[starts[-1] :]) if starts else None

    def last_line(self) -> str | None:
        return self._tail[-1] if self._tail else None

    def _take(self, line: bytes) -> None:
        record = parse_line(line)
        if record is None:
            return
        traceback = None if record.traceback is None else self._rename(record.traceback)
        record = replace(record, message=self._rename(record.message), traceback=traceback)
        if record.message == _LOAD_FAILED_MESSAGE and record.traceback is not None:
            self.load_traceback = record.traceback
            self.load_failed.set()
            return
        if record.level != "debug":
            self._tail.append(record.message)
        for log_line in record.lines(self._replica):
            if self._has_room(log_line):
                self._show(log_line)
            else:
                self._dropped += 1

    def _has_room(self, line: ReplicaLogLine) -> bool:
        if line.level in _ERROR_LEVELS:
            self._error_lines_this_second += 1
            return self._error_lines_this_second <= MAX_ERROR_LINES_A_SECOND
        self._lines_this_second += 1
        return self._lines_this_second <= MAX_LINES_A_SECOND

    def _show(self, line: ReplicaLogLine) -> None:
        # Whoever read the log may have gone (a closed pipe); the model goes on.
        with contextlib.suppress(OSError):
            self._log(line)

    def _open_window(self) -> None:
        second = self._clock.now().replace(microsecond=0)
        if second != self._second:
            self._second = second
            self._lines_this_second = self._error_lines_this_second = 0
            self._report_dropped()

    def _report_dropped(self) -> None:
        if self._dropped:
            message = f"… {self._dropped} lines not shown: more than {MAX_LINES_A_SECOND} a second"
            self._dropped = 0
            self._show(ReplicaLogLine(self._replica, message, "warning"))
