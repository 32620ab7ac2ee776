"""What was computed is not thrown away because a disk is full for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .protocol import RequestQueueError

T = TypeVar("T")

PAUSE_SECONDS = 1.0


async def until_stored(
    operation: Callable[[], Awaitable[T]],
    *,
    pause: Callable[[float], Awaitable[None]],
    report: Callable[[str], None],
) -> T:
    """Do it again, after a pause of so many seconds, until the queue takes it; report the first failure."""
    is_reported = False
    while True:
        try:
            return await operation()
        except RequestQueueError as error:
            if not is_reported:
                report(str(error))
            is_reported = True
            await pause(PAUSE_SECONDS)
