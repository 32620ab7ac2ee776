"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
_COPY_BYTES: Final = 1024 * 1024


def write_whole(path: Path, content: bytes | BinaryIO, *, mode: int | None = None) -> int:
    """Put the content in the place of what the file was, and return its size; its folder must be there.

    It is written aside, flushed to disk, and then given the name: whatever happens to the process or the machine,
    whoever looks finds all of the new content or all of the old, and the new once this has returned. What fails leaves
    nothing behind; a kill may leave a file whose name starts with a dot.

    ``mode`` are the file's rights, of which it has none too many at any moment; by default, those that a new file gets.
    """
    folder = os.open(path.parent, FOLDER)
    try:
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        return write_whole_in(folder, path.name, source, mode=mode)
    finally:
        os.close(folder)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that gets its name, as by ``write_whole``, when the block has ended well."""
    folder = os.open(path.parent, FOLDER)
    scratch = f".{uuid.uuid4().hex}.part"
    try:
        descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(scratch, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder)
        raise
    finally:
        os.close(folder)


def write_whole_in(
    folder: int, name: str, source: BinaryIO, *, mode: int | None = None, only_if_absent: bool = False
) -> int:
    """The same in an open folder. FileExistsError when it was to be written only if absent, and is not."""
    scratch = f".{uuid.uuid4().hex}.part"
    rights = 0o666 if mode is None else mode
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rights, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)  # whatever the umask is
            shutil.copyfileobj(source, file, _COPY_BYTES)
            size_bytes = file.tell()
            file.flush()
            os.fsync(descriptor)
        if only_if_absent:
            os.link(scratch, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            os.unlink(scratch, dir_fd=folder)
        else:
            os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder)
        raise
    os.fsync(folder)  # the name, too, survives a power cut
    return size_bytes
