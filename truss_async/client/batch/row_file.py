"""A file of JSON lines that grows by whole rows, together with the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ...whole_files import FOLDER
from .input_file import LocationError

if TYPE_CHECKING:
    import io


class RowFile:
    """Rows are written by ``flush``, all at once; ``undo`` takes back those since the last ``settle``.

    The file is there once there is a row. ``is_durable``: what was flushed survives a power cut.
    """

    def __init__(self, path: Path, *, is_durable: bool) -> None:
        self.path = path
        self._is_durable = is_durable
        self._file: io.FileIO | None = None
        self._rows: list[bytes] = []
        self._settled = path.stat().st_size if path.exists() else 0
        self._size = self._settled

    @property
    def size(self) -> int:
        """Bytes in it, those included that are to be written."""
        return self._size

    def append(self, row: bytes) -> int:
        """Add a row, without its line end; where it begins."""
        start = self._size
        self._rows.append(row + b"\n")
        self._size += len(row) + 1
        return start

    def flush(self) -> None:
        """Write what was appended."""
        if not self._rows:
            return
        if self._file is None:
            self._file = self._opened()
        data = b"".join(self._rows)
        self._rows.clear()
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        if self._is_durable:
            os.fsync(self._file.fileno())

    def settle(self) -> None:
        """What was flushed is to stay."""
        self._settled = self._size

    def undo(self) -> None:
        """Take back what came since."""
        self._rows.clear()
        self.cut_back(self._settled)

    def cut_back(self, size: int) -> None:
        """Leave so many bytes, if there are more."""
        if self.path.exists() and self.path.stat().st_size > size:
            os.truncate(self.path, size)
        self._size = self._settled = size

    def rewrite(self, rows: Iterable[bytes]) -> None:
        """Put these in the place of all rows: the file is one or the other at any moment; none: there is no file."""
        self.close()
        self._rows.clear()
        self._size = write_rows(self.path, rows)
        self._settled = self._size
        if self._size == 0:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> io.FileIO:
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab", buffering=0)
        if is_new and self._is_durable:
            _sync_folder(self.path.parent)
        return file


def write_rows(path: Path, rows: Iterable[bytes]) -> int:
    """Write a whole file of rows, and return its size; LocationError when it cannot be."""
    aside = path.with_name(f".{path.name}.part")
    size = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            for row in rows:
                size += file.write(row + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise LocationError(f"cannot write {path}: {error.strerror}") from None
    return size


def reader_of(path: Path) -> tuple[Callable[[int, int], bytes], Callable[[], None]]:
    """What reads so many bytes at a position, and what closes it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise LocationError(
            f"cannot read {path}: {error.strerror}; it holds the results of the batch"
        ) from None
    return lambda position, length: os.pread(descriptor, length, position), lambda: os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
