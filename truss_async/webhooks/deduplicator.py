"""A result that comes twice is handled once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ResultBusyError
from .handled import HandledStore, MemoryHandledStore, SqliteHandledStore
from .handlers import call_plainly, check_handler
from .lease import renewed

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult

# The platform repeats a webhook within seconds after a crash: by then the lease of a dead process must soon end.
LEASE_SECONDS: Final = 6.0
# Longer than the lease of a process that died, shorter than the platform waits for an answer.
WAIT_SECONDS: Final = 8.5
_POLL_SECONDS: Final = 0.05


class Deduplicator:
    """Remembers which results were handled: in memory, in the SQLite file at that path, or in a ``HandledStore``.

    Safe between threads and, with a store that they share, between processes.
    """

    def __init__(
        self,
        store: HandledStore | Path | str | None = None,
        *,
        wait_seconds: float = WAIT_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if store is None:
            store = MemoryHandledStore(clock=clock)
        self._store = SqliteHandledStore(store, clock=clock) if isinstance(store, (str, Path)) else store
        self._wait_seconds = wait_seconds
        self._clock = clock

    def handle(self, result: AsyncPredictResult, handler: Callable[[AsyncPredictResult], object]) -> bool:
        """Call the handler, unless the result was handled already; True when it was called, and has returned.

        A call that comes while it is being handled waits for the outcome. When the handler raises, or its process dies,
        the result counts as not handled, and the next call handles it. So acknowledge the webhook when this returns,
        and not when it raises.

        Raises:
            ResultBusyError: it was still being handled elsewhere after ``wait_seconds``.
            SettingsError: the handler is none: a coroutine function, for one.
        """
        check_handler(handler)
        owner = uuid.uuid4().hex
        if not self._claim(result.request_id, owner):
            return False
        try:
            with renewed(partial(self._store.claim, result.request_id, owner), lease_seconds=LEASE_SECONDS):
                call_plainly(handler, result)
        except BaseException:
            self._store.release(result.request_id, owner)
            raise
        self._store.finish(result.request_id, owner)
        return True

    def _claim(self, request_id: str, owner: str) -> bool:
        """True: it is the owner's now; False: it was handled already."""
        start = self._clock.monotonic()
        while (claim := self._store.claim(request_id, owner, seconds=LEASE_SECONDS)) == "busy":
            if self._clock.monotonic() - start >= self._wait_seconds:
                raise ResultBusyError(f"the result of {request_id!a} is still being handled elsewhere")
            self._clock.block(_POLL_SECONDS)
        return claim == "claimed"
