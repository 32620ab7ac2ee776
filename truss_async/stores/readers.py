"""Reading a remote object as a file whose failures are ours."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from ..errors import OutputStoreError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER_BYTES: Final = 256 * 1024
DAMAGED: Final = "what was received does not match the object's checksum; read it again"


class RemoteBytes(Protocol):
    """What a cloud library gives to read from."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


def remote_file(remote: RemoteBytes, translated: Callable[[], AbstractContextManager[None]]) -> BinaryIO:
    """The remote bytes as a buffered file; ``translated`` turns the library's errors into ours, on each read."""
    return io.BufferedReader(_RawRemote(remote, translated), BUFFER_BYTES)


class Digest(Protocol):
    """A checksum that is made piece by piece."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class VerifiedBytes:
    """Remote bytes that are read to their end only if they are what was stored."""

    def __init__(self, remote: RemoteBytes, digest: Digest, *, expected: bytes, url: str) -> None:
        self._remote = remote
        self._digest = digest
        self._expected = expected
        self._url = url

    def read(self, size: int, /) -> bytes:
        content = self._remote.read(size)
        if content:
            self._digest.update(content)
        elif self._digest.digest() != self._expected:
            raise OutputStoreError(f"cannot read {self._url}: {DAMAGED}")
        return content

    def close(self) -> None:
        self._remote.close()


class _RawRemote(io.RawIOBase):
    def __init__(self, remote: RemoteBytes, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._remote = remote
        self._translated = translated

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        with self._translated():
            content = self._remote.read(len(view))
        view[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._remote.close()
        super().close()
