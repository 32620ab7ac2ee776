"""The three forms of a body (bytes, a path, an open file), seen as one."""

from __future__ import annotations

import io
import shutil
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import OutputStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .protocol import Body


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
        raise OutputStoreError(f"cannot read {what} that was to be stored: {reason}") from error


def read_body(body: Body) -> bytes:
    """The whole body in memory."""
    if isinstance(body, bytes):
        return body
    with opened_body(body) as (file, _):
        return file.read()


class Crc32File:
    """A file that is read once, from where it stands; ``crc32`` is that of all that was read so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc32 = 0

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        self.crc32 = zlib.crc32(content, self.crc32)
        return content


def _size(file: BinaryIO) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
