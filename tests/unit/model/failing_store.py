"""A store in memory that can be taken down, and time that passes by itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from truss_async.clock import ManualClock
from truss_async.errors import OutputStoreError
from truss_async.stores.memory_store import MemoryStore

if TYPE_CHECKING:
    from truss_async.stores.protocol import Body

_NUMBERS = itertools.count()


class ImpatientClock(ManualClock):
    """Nobody waits: whoever would has the time pass at once. ``waits`` tells for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def block(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds)


class FailingStore(MemoryStore):
    """Refuses ``failures`` writes in advance; an endless number when it is down."""

    def __init__(self) -> None:
        super().__init__(f"failing-{next(_NUMBERS)}")
        self.failures: float = 0
        self.lasts = False
        self.refused: list[str] = []
        self.written: list[str] = []

    def put(self, key: str, body: Body, **options: Any) -> None:
        if self.failures:
            self.failures -= 1
            self.refused.append(key)
            raise OutputStoreError(f"cannot write {self.url}/{key}: it is down", passes=not self.lasts)
        super().put(key, body, **options)
        self.written.append(key)
