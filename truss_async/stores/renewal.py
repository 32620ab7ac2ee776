"""A cloud store whose client is made anew when what it signed in with is not accepted any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeVar

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import StoreCredentialsError, TrussAsyncError
from .protocol import NO_METADATA, ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from .protocol import Body

Answer = TypeVar("Answer")

RENEWAL_PAUSE_SECONDS: Final = 10
"""So long the next client is not made: credentials that stay wrong must not cost a client with every call."""


class CloudStore(ObjectStore, Protocol):
    """A store whose client is kept for others."""

    def forget_client(self) -> None:
        """Let the next store be made with another client."""


class RenewingStore:
    """The store that ``make`` opens; opened again, and asked once more, when its credentials are refused.

    A cloud's library reads a file of credentials once. One that was rotated since is read when the client is made anew.
    """

    def __init__(self, make: Callable[[], CloudStore], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._make = make
        self._clock = clock
        self._store = make()
        self._renewed_at: float | None = None
        self._lock = threading.Lock()

    @property
    def has_conditional_puts(self) -> bool:
        return self._store.has_conditional_puts

    @property
    def url(self) -> str:
        return self._store.url

    def put(
        self,
        key: str,
        body: Body,
        *,
        content_type: str,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
        only_if_absent: bool = False,
    ) -> None:
        def put(store: ObjectStore) -> None:
            store.put(
                key,
                body,
                content_type=content_type,
                content_encoding=content_encoding,
                metadata=metadata,
                only_if_absent=only_if_absent,
            )

        if isinstance(body, (bytes, Path)):
            self._call(put)
        elif body.seekable():
            start = body.tell()
            self._call(put, before_the_next=lambda: body.seek(start))
        else:
            put(self._store)  # what was read of it is gone

    def open(self, key: str) -> BinaryIO:
        return self._call(lambda store: store.open(key))

    def head(self, key: str) -> ObjectInfo:
        return self._call(lambda store: store.head(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        def begun(store: ObjectStore) -> tuple[ObjectInfo | None, Iterator[ObjectInfo]]:
            found = store.list(prefix)
            return next(found, None), found

        first, rest = self._call(begun)
        if first is not None:
            yield first
            yield from rest

    def delete(self, key: str) -> None:
        self._call(lambda store: store.delete(key))

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        return self._call(lambda store: store.presign(key, expires_in=expires_in))

    def _call(
        self, act: Callable[[ObjectStore], Answer], *, before_the_next: Callable[[], object] = lambda: None
    ) -> Answer:
        used = self._store
        try:
            return act(used)
        except StoreCredentialsError:
            if not self._renews(used):
                raise
        before_the_next()
        return act(self._store)

    def _renews(self, used: CloudStore) -> bool:
        """Whether there is another client than that store's by now."""
        with self._lock:
            if self._store is not used:
                return True
            now = self._clock.monotonic()
            if self._renewed_at is not None and now - self._renewed_at < RENEWAL_PAUSE_SECONDS:
                return False
            self._renewed_at = now
            used.forget_client()
            with suppress(TrussAsyncError):  # the file may be half written: what was said first stands
                self._store = self._make()
            return self._store is not used
