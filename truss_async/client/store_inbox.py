"""An output store that keeps async predict results as they arrived."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import ObjectNotFoundError
from ..stores.layout import default_keys
from .inbox import plain_name

if TYPE_CHECKING:
    from ..stores import ObjectStore


class StoreInbox:
    """Keeps each body as ``{url}/{request_id}.json``, where an ``OutputStore`` finds it: the first one that came.

    Give it a prefix of its own: what a model saved under the same key counts as kept. Safe to share between threads.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._lock = threading.Lock()

    def location_of(self, request_id: str) -> str:
        """Where the result of that request is, or would be."""
        return f"{self._objects.url}/{default_keys(plain_name(request_id)).result}"

    def find(self, request_id: str) -> bytes | None:
        """The body that was stored; None when there is none; OutputStoreError when it cannot be read."""
        try:
            with self._objects.open(default_keys(plain_name(request_id)).result) as body:
                return body.read()
        except ObjectNotFoundError:
            return None

    def set_aside(self, request_id: str) -> None:
        """Nothing: a store remembers results alone."""

    def acknowledge(self, request_id: str) -> None:
        """Nothing, either."""

    def keep(self, request_id: str, body: bytes) -> bool:
        """Store the body; False when that request's result was there already; OutputStoreError when it cannot be."""
        key = default_keys(plain_name(request_id)).result
        with self._lock:
            try:
                self._objects.head(key)
            except ObjectNotFoundError:
                self._objects.put(key, body, content_type="application/json")
                return True
            return False
