"""How long to wait for a result: the decisions, made of numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import accumulate, chain, repeat
from typing import Final

FIRST_PAUSE_SECONDS: Final = 0.1
PAUSE_FACTOR: Final = 1.5
LONGEST_PAUSE_SECONDS: Final = 5.0


def pauses() -> Iterator[float]:
    """The seconds between one look and the next: growing, up to a limit, without end."""
    return accumulate(
        chain((FIRST_PAUSE_SECONDS,), repeat(PAUSE_FACTOR)),
        lambda pause, factor: min(pause * factor, LONGEST_PAUSE_SECONDS),
    )


def is_last_word(
    written_at: datetime, first_seen_at: datetime, *, now: datetime, after_seconds: float
) -> bool:
    """Whether an error has stood for so long that no other attempt is expected.

    By its own time, so that an old one counts at once; or by the time it was seen here, so that nobody has to wait when
    the writer's clock is wrong.
    """
    return (now - min(written_at, first_seen_at)).total_seconds() >= after_seconds


def as_utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken to be so already."""
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
