"""The three forms of a body (bytes, a path, an open file), seen as one."""

from __future__ import annotations

import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import OutputStoreError

if TYPE_CHECKING:
    from .protocol import Body
    from .readers import Digest


@contextmanager
def opened_body(body: Body) -> Iterator[tuple[BinaryIO, int]]:
    """The body as a seekable file that stands at its start, and the number of its bytes.

    A caller's own file is left open. A stream that cannot seek, or stands further on, is copied to a temporary file.
    An OSError that passes through here is the body's: a store turns its own into OutputStoreErrors.
    """
    try:
        if isinstance(body, bytes):
            yield io.BytesIO(body), len(body)
        elif isinstance(body, Path):
            with body.open("rb") as file:
                yield file, _size(file)
        elif body.seekable() and body.tell() == 0:
            yield body, _size(body)
        else:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(body, copy)
                yield copy, _size(copy)
    except OSError as error:
        what = str(body) if isinstance(body, Path) else "the file or stream"
        reason = error.strerror or type(error).__name__
        raise OutputStoreError(f"cannot read {what} that was to be stored: {reason}", passes=False) from error


def read_body(body: Body) -> bytes:
    """The whole body in memory."""
    if isinstance(body, bytes):
        return body
    with opened_body(body) as (file, _):
        return file.read()


class DigestedFile:
    """A file that is read once, from where it stands; ``digest`` is that of all that was read so far."""

    def __init__(self, file: BinaryIO, digest: Digest) -> None:
        self._file = file
        self.digest = digest

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


class Crc32:
    """A CRC-32, made piece by piece."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _size(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
