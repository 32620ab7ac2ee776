"""A lease lives as long as its owner: it is renewed while work goes on, and free soon after a crash."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ..workers import start_worker

_RENEWALS_PER_LEASE: Final = 4


class Renewal(Protocol):
    """Makes the lease end so many seconds from now."""

    def __call__(self, *, seconds: float) -> object: ...


@contextmanager
def renewed(renew: Renewal, *, lease_seconds: float) -> Iterator[None]:
    """Call ``renew`` from a thread of its own, often enough that the lease does not run out."""
    ended = threading.Event()

    def renew_in_time() -> bool:
        if ended.wait(lease_seconds / _RENEWALS_PER_LEASE):
            return False
        renew(seconds=lease_seconds)
        return True

    # A store of the user's own may raise anything; the next renewal may succeed.
    thread = start_worker(renew_in_time, name="truss-async-lease", trouble="a claim could not be renewed")
    try:
        yield
    finally:
        ended.set()
        thread.join()
