"""How far a batch is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_RATE_SECONDS: Final = 30.0
_FEWEST_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Lines by where they stand, and calls. ``rate`` is lines over a second, of late; ``seconds_left`` goes by it.

    ``rate_limited`` are the submissions of this run that were answered 429, and made again.
    ``unanswered`` are submissions of which nobody knows whether they became a request. ``busy_seconds`` are the
    replica-seconds used, of a model that takes one request at a time: how many of the target's requests were in progress
    for how long, anybody's. ``note`` is what hinders it at the moment, "" for nothing.
    """

    lines: int
    waiting: int
    open: int
    done: int
    failed: int
    submissions: int
    unanswered: int = 0
    rate_limited: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    busy_seconds: float = 0.0
    note: str = ""


class RateMeter:
    """How many lines were over at which moments, as far back as the rate is measured."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, now: float, over: int) -> float:
        """Lines a second since half a minute ago, or since the first call."""
        self._seen.append((now, over))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return 0.0 if now - since < _FEWEST_SECONDS else (over - before) / (now - since)


def seconds_left(*, lines: int, over: int, rate: float) -> float | None:
    """None: nobody can tell."""
    return (lines - over) / rate if rate > 0 else None


def told(seconds: float) -> str:
    """``1 h 05 min``, ``4 min``, ``12 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"


def progress_line(progress: Progress) -> str:
    """One line for people."""
    over = progress.done + progress.failed
    parts = [f"{over:,} of {progress.lines:,} lines ({100 * over / max(1, progress.lines):.0f} %)"]
    parts += [f"{progress.failed:,} failed"] if progress.failed else []
    parts += [f"{progress.open:,} open", f"{progress.rate:.1f} a second"]
    if progress.seconds_left is not None:
        parts.append(f"{told(progress.seconds_left)} left")
    if progress.busy_seconds >= 1:
        parts.append(f"{progress.busy_seconds:,.0f} replica-seconds")
    parts += [progress.note] if progress.note else []
    return ", ".join(parts)
