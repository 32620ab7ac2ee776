"""A part of an output that becomes a file, and what an open file says of itself."""

import contextlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import OutputError
from .content_types import content_type_of_bytes, content_type_of_name

_LONGEST_SIGNATURE = 16


@dataclass(frozen=True)
class FilePart:
    """A part of an output that becomes a file; ``name`` is None where only its place in the output names it.

    One with a copy of its own is to be closed.
    """

    body: bytes | Path | BinaryIO
    content_type: str
    name: str | None = None
    has_copy: bool = False

    def close(self) -> None:
        """Let go of the copy, if there is one."""
        if self.has_copy and not isinstance(self.body, bytes | Path):
            self.body.close()


def open_file_part(file: Any) -> FilePart | Path:
    """All that is in the open file, wherever it stands; one that cannot go back gives what is left of it.

    It is left open. One that can be read by its name alone is that path.
    """
    if isinstance(file, io.StringIO):
        return FilePart(file.getvalue().encode(), "text/plain")
    if not file.closed and callable(flush := getattr(file, "flush", None)):
        flush()
    file = getattr(file, "buffer", file)  # the bytes below a text
    name = getattr(file, "name", None)
    path = Path(name) if isinstance(name, str) else Path()
    if file.closed and not path.name:
        raise OutputError("a file in the output is closed, and has no name: return it open")
    if path.name and (file.closed or not file.readable()):
        return path
    body = _rewound(file)
    has_copy = body is not file
    if path.name:
        return FilePart(body, content_type_of_name(path.name), path.name, has_copy)
    content_type = content_type_of_bytes(body.read(_LONGEST_SIGNATURE))
    body.seek(0)
    return FilePart(body, content_type, None, has_copy)


def _rewound(file: Any) -> BinaryIO:
    try:
        file.seek(0)
    except OSError:
        return _copied(file)
    return cast("BinaryIO", file)


def _copied(file: Any) -> BinaryIO:
    """For a pipe and its like: a write that fails is tried again with the same bytes."""
    with contextlib.ExitStack() as closing:
        copy = closing.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        closing.pop_all()
    return cast("BinaryIO", copy)
