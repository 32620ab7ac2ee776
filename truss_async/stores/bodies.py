"""The three forms of a body (bytes, a path, an open file), seen as one."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
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
    """
    if isinstance(body, bytes):
        yield io.BytesIO(body), len(body)
    elif isinstance(body, Path):
        with _open_path(body) as file:
            yield file, os.fstat(file.fileno()).st_size
    elif body.seekable() and body.tell() == 0:
        size = body.seek(0, io.SEEK_END)
        body.seek(0)
        yield body, size
    else:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(body, spool)
            size = spool.tell()
            spool.seek(0)
            yield spool, size


def read_body(body: Body) -> bytes:
    """The whole body in memory."""
    if isinstance(body, bytes):
        return body
    with opened_body(body) as (file, _):
        return file.read()


def _open_path(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise OutputStoreError(f"cannot read {path}, which was to be stored: {error.strerror}") from error
