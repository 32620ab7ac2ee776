"""What was computed is not thrown away because a disk is full for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .protocol import RequestQueueError

T = TypeVar("T")

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 16.0
SHORT_PAUSES = 4


def pause_seconds(failures: int, *, is_lasting: bool) -> float:
    """How long to wait after so many failures in a row: what does not pass by itself is asked for now and then only."""
    if is_lasting:
        return LONGEST_PAUSE_SECONDS
    return min(PAUSE_SECONDS * 2.0 ** max(0, min(failures, 60) - SHORT_PAUSES), LONGEST_PAUSE_SECONDS)


async def until_stored(
    operation: Callable[[], Awaitable[T]],
    *,
    pause: Callable[[float], Awaitable[None]],
    report: Callable[[str], None],
    longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
) -> T:
    """Do it again, after a pause of so many seconds, until the queue takes it; report the first failure.

    What goes on for longer, or does not pass by itself, is reported again with each pause, and these grow.
    """
    failures = 0
    while True:
        try:
            return await operation()
        except RequestQueueError as error:
            failures += 1
            seconds = min(pause_seconds(failures, is_lasting=error.is_lasting), longest_pause_seconds)
            if failures == 1 or seconds > PAUSE_SECONDS:
                report(str(error))
            await pause(seconds)
