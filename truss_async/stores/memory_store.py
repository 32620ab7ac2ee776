"""``memory://name``: objects in this process, for tests. Stores of the same name share them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Final

from ..clock import SYSTEM_CLOCK
from ..errors import ObjectExistsError, ObjectNotFoundError
from .bodies import read_body
from .idempotency import ATTEMPT_ID_METADATA
from .keys import check_object_key
from .presigning import cannot_presign
from .protocol import NO_METADATA, ObjectInfo

if TYPE_CHECKING:
    from ..clock import Clock
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body


@dataclass
class _Objects:
    lock: threading.Lock = field(default_factory=threading.Lock)
    by_key: dict[str, tuple[bytes, ObjectInfo]] = field(default_factory=dict)


_OBJECTS_BY_NAME: dict[str, _Objects] = {}
_NAMES_LOCK = threading.Lock()


def open_store(name: str, prefix: str, _credentials: StoreCredentials, _options: StoreOptions) -> MemoryStore:
    """The store of that name."""
    return MemoryStore(name, prefix=prefix)


class MemoryStore:
    """Objects that end with the process."""

    has_conditional_puts: Final = True

    def __init__(self, name: str, *, prefix: str = "", clock: Clock = SYSTEM_CLOCK) -> None:
        with _NAMES_LOCK:
            self._objects = _OBJECTS_BY_NAME.setdefault(name, _Objects())
        self._root = f"{prefix}/" if prefix else ""
        self._url = f"memory://{name}/{prefix}".rstrip("/")
        self._clock = clock

    @property
    def url(self) -> str:
        return self._url

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
        path = self._path(key)
        content = read_body(body)
        info = ObjectInfo(
            key, len(content), content_type, dict(metadata), self._clock.now(), content_encoding
        )
        with self._objects.lock:
            earlier = self._objects.by_key.get(path)
            if only_if_absent and earlier is not None:
                if earlier[1].metadata.get(ATTEMPT_ID_METADATA, "") == metadata.get(ATTEMPT_ID_METADATA):
                    return
                raise ObjectExistsError(f"there is an object {self._url}/{key} already")
            self._objects.by_key[path] = content, info

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._find(key)[0])

    def head(self, key: str) -> ObjectInfo:
        return replace(self._find(key)[1], key=key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._objects.lock:
            found = [
                replace(info, key=path[len(self._root) :])
                for path, (_, info) in self._objects.by_key.items()
                if path.startswith(self._root + prefix)
            ]
        return iter(found)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._objects.lock:
            self._objects.by_key.pop(path, None)

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        cannot_presign(f"{self._url}/{check_object_key(key)}")

    def _find(self, key: str) -> tuple[bytes, ObjectInfo]:
        path = self._path(key)
        with self._objects.lock:
            found = self._objects.by_key.get(path)
        if found is None:
            raise ObjectNotFoundError(f"there is no object {self._url}/{key}")
        return found

    def _path(self, key: str) -> str:
        return self._root + check_object_key(key)
