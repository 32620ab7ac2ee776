"""An open file in an output: all that it holds, wherever it stands. It is left open."""

import codecs
import gzip
import inspect
import io
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from .places import UnfitPartError

_OF_THE_SYSTEM: Final = (io.BufferedReader, io.BufferedRandom, io.BufferedWriter, io.FileIO)
_CHUNK_BYTES: Final = 1 << 20


def is_open_file(value: object) -> bool:
    """Whether it can be read as a file. What its class has counts: an object may say yes to any name."""
    return (
        isinstance(value, io.IOBase | tempfile._TemporaryFileWrapper)
        or (hasattr(type(value), "read") and hasattr(type(value), "close"))
        or isinstance(value, codecs.StreamReaderWriter)
    )


def bare_file(file: Any) -> Any:
    """The file of bytes below a temporary file and a text, when what was written to it has arrived there."""
    if inspect.iscoroutinefunction(getattr(type(file), "read", None)):
        raise UnfitPartError("is an asynchronous file; return its content or its path")
    if not closed_state(file) and callable(flush := getattr(file, "flush", None)):
        flush()
    if isinstance(file, tempfile._TemporaryFileWrapper):
        file = file.file
    if isinstance(file, tempfile.SpooledTemporaryFile):
        file = cast("Any", file)._file  # it may be a text, and says so nowhere else
    elif isinstance(file, codecs.StreamReaderWriter):
        file = file.stream  # of codecs.open()
    if isinstance(file, io.TextIOWrapper):
        file = file.buffer
    return file


def closed_state(file: Any) -> bool:
    """Whether it is closed; what cannot be asked is open."""
    return bool(getattr(file, "closed", False))


def path_of(file: Any) -> Path | None:
    """Where the file lies, if it lies anywhere and has a name; of one that unpacks it is the name of what it yields."""
    name = getattr(file, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if not isinstance(name, str | os.PathLike) or type(file).__module__ == "tarfile":  # the archive's
        return None
    path = Path(name)
    return path if path.name else None


def is_of_the_system(file: Any) -> bool:
    """Whether its bytes are those of the file that it is named after: nothing unpacks them."""
    return type(file) in _OF_THE_SYSTEM and isinstance(getattr(file, "raw", file), io.FileIO)


def is_write_only(file: Any) -> bool:
    """Whether it was opened for writing alone."""
    readable: Callable[[], Any] | None = getattr(file, "readable", None)
    return callable(readable) and not readable()


def unpacked_name(file: Any, path: Path) -> str:
    """The name of what the file yields: without ``.gz`` where it unpacks."""
    if is_of_the_system(file) or path.suffix.lower() not in (".gz", ".bz2", ".xz", ".lzma", ".zst"):
        return path.name
    is_unpacking = isinstance(file, gzip.GzipFile) or type(file).__module__ in (
        "bz2",
        "lzma",
        "compression.zstd",
        "pyzstd",
    )
    return path.stem if is_unpacking else path.name


def rewound(file: Any) -> BinaryIO:
    """The file at its beginning; a copy of what is left of it where it cannot go back, and of all but files of the system.

    A write that fails is tried again with the same bytes, and what the reading raises is the output's fault, not the store's.
    """
    _check_kind(file)
    try:
        file.seek(0)
    except (OSError, AttributeError, NotImplementedError):  # a pipe and its like
        return _copied(file)
    as_it_is = type(file) is io.BytesIO or is_of_the_system(file)
    return cast("BinaryIO", file) if as_it_is else _copied(file)


def _check_kind(file: Any) -> None:
    """Refuse what may never end."""
    if isinstance(getattr(file, "raw", file), socket.SocketIO):
        raise UnfitPartError("is a socket, which may never end; return bytes")
    if not is_of_the_system(file):
        return
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise UnfitPartError("is a device, which may never end; return bytes")
    # A pipe without a name is one to a process, which ends.
    if stat.S_ISFIFO(mode) and path_of(file) is not None:
        raise UnfitPartError("is a named pipe, which may never end; return bytes")


def _copied(file: Any) -> BinaryIO:
    with ExitStack() as closing:
        copy = closing.enter_context(tempfile.TemporaryFile())
        reader = _Bytes(file)
        while chunk := reader.read(_CHUNK_BYTES):
            copy.write(chunk)
        copy.seek(0)
        closing.pop_all()
    return cast("BinaryIO", copy)


class _Bytes:
    """Reads a file of bytes or of text as bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._encoding = getattr(file, "encoding", None) or "utf-8"

    def read(self, size: int) -> bytes:
        read = self._file.read(size)
        if isinstance(read, str):
            return read.encode(self._encoding)
        if read is None:
            raise UnfitPartError("has no data ready and has not ended; return it when it is complete")
        if not isinstance(read, bytes | bytearray | memoryview):
            if inspect.iscoroutine(read):
                read.close()
            raise UnfitPartError(
                f"is a file whose read() gives {type(read).__name__}, not bytes: return what it holds, or its path"
            )
        return bytes(read)
