"""Moments as people write them: so long ago, or written out."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

TIME_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

_DURATION: Final = re.compile(rf"(\d{{1,5}})([{''.join(TIME_UNITS)}])", re.ASCII)


def duration(text: str) -> timedelta:
    """``30s``, ``15m``, ``12h`` or ``7d``.

    Raises:
        ValueError: it is none; the message says so.
    """
    if (found := _DURATION.fullmatch(text)) is None:
        raise ValueError(f"{text!a} is not a duration (30s, 15m, 12h, 7d)")
    return timedelta(**{TIME_UNITS[found[2]]: int(found[1])})


def moment(text: str, *, now: datetime) -> datetime:
    """The moment that was so long before ``now``, or that is written out; without a time zone, it is UTC.

    Raises:
        ValueError: it is none, or before the year 1; the message says so.
    """
    if _DURATION.fullmatch(text):
        try:
            return now - duration(text)
        except OverflowError:
            raise ValueError(f"{text!a} is too long ago") from None
    try:
        # Before Python 3.11, a Z is not understood.
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        raise ValueError(
            f"{text!a} is neither a duration (30m, 12h, 7d) nor a time (2026-01-31T12:00Z)"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
