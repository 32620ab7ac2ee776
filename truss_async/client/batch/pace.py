"""When the next call may go, decided from what the platform has answered. Seconds of any one clock; no clock, no I/O.

Additive increase, multiplicative decrease: whoever shares a limit with others ends up with a fair part of it.
"""

from __future__ import annotations

from typing import Final

from ...contract.limits import ASYNC_CALLS_PER_MINUTE

USUAL_RATE: Final = ASYNC_CALLS_PER_MINUTE / 60
"""Async calls a second that the platform allows an organisation."""

_START_RATE: Final = 50.0
_DOUBLED_WITHIN_SECONDS: Final = 0.5
_DECREASE: Final = 0.7
_LEAST_SECONDS_BETWEEN_DECREASES: Final = 1.0
_INCREASE_PER_SECOND: Final = 0.02  # of the limit
_LEAST_RATE: Final = 0.5
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
# What was missed while the process was busy is made up for, as the limits are of a minute.
_BURST_SECONDS: Final = 0.5
# Just below what is allowed: whoever counts at the other end does so by another clock.
_MARGIN: Final = 0.995


class Pace:
    """One kind of call, held to a rate that is learned between nothing and ``limit`` a second."""

    def __init__(self, *, limit: float = USUAL_RATE, start: float = _START_RATE) -> None:
        self._limit = limit * _MARGIN
        self._rate = min(start, self._limit)
        self._is_starting = True
        self._rated_at: float | None = None
        self._next_at = 0.0
        self._blocked_until = 0.0
        self._decreased_at = float("-inf")
        self._failures = 0

    @property
    def rate(self) -> float:
        """Calls a second, as of the last reservation."""
        return self._rate

    def reserve(self, now: float) -> float:
        """0 when a call may go now, which counts it; else the seconds after which to ask again."""
        self._grow(now)
        if now < self._blocked_until:
            return self._blocked_until - now
        if now < self._next_at:
            return self._next_at - now
        self._next_at = max(self._next_at, now - _BURST_SECONDS) + 1 / self._rate
        return 0.0

    def answered(self) -> None:
        """A call was answered with what was wanted."""
        self._failures = 0

    def refused(self, now: float, retry_after: float | None) -> None:
        """A call was over the limit (429). Those that were on their way at the same time count as one."""
        self._block(now, _PAUSE_SECONDS if retry_after is None else retry_after)
        self._is_starting = False
        if now - self._decreased_at >= _LEAST_SECONDS_BETWEEN_DECREASES:
            self._decreased_at = now
            self._rate = max(_LEAST_RATE, self._rate * _DECREASE)

    def failed(self, now: float, retry_after: float | None = None) -> None:
        """There is nobody who answers properly: wait longer and longer, whatever the rate is."""
        pause = min(_PAUSE_SECONDS * 2.0 ** min(self._failures, 10) / 4, _LONGEST_PAUSE_SECONDS)
        if now >= self._blocked_until:
            self._failures += 1
        self._block(now, pause if retry_after is None else retry_after)

    def _block(self, now: float, seconds: float) -> None:
        self._blocked_until = max(self._blocked_until, now + seconds)
        self._next_at = max(self._next_at, self._blocked_until)

    def _grow(self, now: float) -> None:
        passed = 0.0 if self._rated_at is None else now - self._rated_at
        self._rated_at = now
        if now < self._blocked_until:
            return
        if self._is_starting:
            self._rate *= 2.0 ** min(passed / _DOUBLED_WITHIN_SECONDS, 10)
        else:
            self._rate += passed * self._limit * _INCREASE_PER_SECOND
        if self._rate >= self._limit:
            self._rate, self._is_starting = self._limit, False
