"""A claim that lives as long as its owner: renewed while work goes on, free soon after a crash."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

_RENEWALS_PER_CLAIM: Final = 4


@contextmanager
def kept_alive(renew: Callable[[], object], *, claim_seconds: float) -> Iterator[None]:
    """Call ``renew`` from a thread of its own, often enough that the claim does not run out."""
    ended = threading.Event()

    def keep_alive() -> None:
        while not ended.wait(claim_seconds / _RENEWALS_PER_CLAIM):
            try:
                renew()
            except Exception:  # a store of the user's own may raise anything; the next renewal may succeed
                logger.exception("a claim could not be renewed")

    thread = threading.Thread(target=keep_alive, name="truss-async-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
