"""A clock whose time of day somebody sets, either way, while the seconds pass as ever."""

from datetime import datetime, timedelta

from truss_async.clock import ManualClock


class SteppingClock:
    """Moved on by hand; ``step`` sets the time of day alone."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._offset = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._offset

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def step(self, hours: float) -> None:
        self._offset += timedelta(hours=hours)
