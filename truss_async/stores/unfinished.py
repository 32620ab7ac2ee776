"""Uploads in parts that are under way. Parts of one that is never finished stay in the bucket, unseen and paid for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ..clock import SYSTEM_CLOCK

MOST_SECONDS: Final = 5.0

_LOCK: Final = threading.Lock()
_UNDER_WAY: Final[dict[object, Callable[[], None]]] = {}


@contextmanager
def unfinished(abort: Callable[[], None]) -> Iterator[None]:
    """What is uploaded inside is aborted when it fails, or when the process ends; ``abort`` raises nothing."""
    ticket = object()
    with _LOCK:
        _UNDER_WAY[ticket] = abort
    try:
        yield
    except BaseException:
        abort()
        raise
    finally:
        with _LOCK:
            _UNDER_WAY.pop(ticket, None)


def abort_uploads() -> None:
    """Abort what is under way, for the process ends: as many as a few seconds allow."""
    with _LOCK:
        aborts = [*_UNDER_WAY.values()]
        _UNDER_WAY.clear()
    end = SYSTEM_CLOCK.monotonic() + MOST_SECONDS
    for abort in aborts:
        if SYSTEM_CLOCK.monotonic() >= end:
            return
        abort()
