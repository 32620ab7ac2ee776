"""The input as one local file, whose lines can be found again by their place."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from ...errors import SettingsError, TrussAsyncError
from ...whole_files import write_whole
from .packing import is_packed, packed

if TYPE_CHECKING:
    from typing import BinaryIO

STANDARD_INPUT: Final = ("-", "@-")

_MARK: Final = b"\xef\xbb\xbf"  # of UTF-8, which some editors put at the beginning
_OTHER_KINDS: Final = {
    b"\x1f\x8b": "compressed by gzip; let its name end with .gz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; let its name end with .zst",
    b"BZh": "compressed by bzip2; let its name end with .bz2",
    b"\xfd7zXZ\0": "compressed by xz; let its name end with .xz",
    b"PAR1": "Parquet; let its name end with .parquet",
    b"PK\3\4": "a ZIP archive; unpack it first",
    b"\xff\xfe": "UTF-16; write it anew as UTF-8",
    b"\xfe\xff": "UTF-16; write it anew as UTF-8",
}
"""What other files begin with, and what to do."""

_CHUNK_BYTES: Final = 1024 * 1024
_DIGEST_BYTES: Final = 8


class LocationError(TrussAsyncError):
    """An input cannot be read, or an output not written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is, without its line end, and what its digest is."""

    number: int
    position: int
    length: int
    digest: bytes


def is_plain(location: str) -> bool:
    """Whether it is a local file as it is: neither a URL nor compressed nor a stream."""
    return "://" not in location and not is_packed(location) and not is_stream(location)


def is_stream(location: str) -> bool:
    """Whether it can be read but once: standard input, or a pipe, as ``<(…)`` of a shell is one."""
    return location in STANDARD_INPUT or ("://" not in location and Path(location).is_fifo())


def local_copy(source: str, copy: Path) -> Path:
    """The file that holds the input's lines: the input itself, or a copy, which is made if it is no plain file."""
    if is_plain(source):
        return Path(source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    with opened(source, "rb") as file:
        write_whole(copy, file, mode=0o600)
    return copy


@contextmanager
def opened(location: str, mode: str) -> Iterator[BinaryIO]:
    """The bytes behind a path or URL, unpacked and packed as its name says.

    Raises:
        LocationError: it cannot be opened, read or written.
    """
    if location in STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    doing = "read" if "r" in mode else "write"
    try:
        with _bytes_of(location, mode) as file, packed(file, location, mode) as through:
            yield through
    except NotImplementedError:
        scheme = location.partition("://")[0]
        raise LocationError(f"cannot {doing} {location}: there is no way to {doing} {scheme}://") from None
    except (OSError, EOFError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise LocationError(f"cannot {doing} {location}: {reason}") from error


def _bytes_of(location: str, mode: str) -> BinaryIO:
    if "://" not in location:
        return cast("BinaryIO", Path(location).open(mode))
    import smart_open

    return cast("BinaryIO", smart_open.open(location, mode, compression="disable"))


def digest_of(path: Path) -> str:
    """SHA-256 of the file, in hexadecimal digits."""
    with _reading(path) as file:
        return _digest(file)


def digest_of_stream(source: str) -> str:
    """The same of what is read to its end."""
    with opened(source, "rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    whole = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        whole.update(chunk)
    return whole.hexdigest()


def line_digest(raw: bytes) -> bytes:
    """What tells whether a line is the one that was entered."""
    return hashlib.blake2b(raw, digest_size=_DIGEST_BYTES).digest()


def read_lines(source: str, *, note: Callable[[bytes], object]) -> Iterator[tuple[Place, bytes]]:
    """Each line of an input that is not blank; ``note`` is given all its bytes, as they come.

    Raises:
        SettingsError: it cannot be read, or is of another kind: compressed, say, and its name does not say so.
        LocationError: the same of what is no plain file.
    """
    position = 0
    with _reading(Path(source)) if is_plain(source) else opened(source, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                _check_kind(source, line)
            note(line)
            start, raw = position, line
            position += len(line)
            if number == 1 and raw.startswith(_MARK):
                start, raw = start + len(_MARK), raw[len(_MARK) :]
            raw = raw.rstrip(b"\r\n")
            if raw.strip():
                yield Place(number, start, len(raw), line_digest(raw)), raw


def _check_kind(source: str, beginning: bytes) -> None:
    for first_bytes, kind in _OTHER_KINDS.items():
        if beginning.startswith(first_bytes):
            raise SettingsError(f"{source} holds no lines of JSON in UTF-8: it is {kind}")


class LineFile:
    """Reads one line at a time, again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {error.strerror}") from None

    def read(self, place: Place) -> bytes:
        """The line that is there.

        Raises:
            LocationError: it is another line than the one that was entered.
        """
        raw = os.pread(self._descriptor, place.length, place.position)
        if line_digest(raw) != place.digest:
            raise LocationError(
                f"{self.path} was changed while its batch runs: line {place.number} is another one; put the file back"
            )
        return raw

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def publish(source: Path, target: str) -> None:
    """Put the content of a local file where the target is, packed as its name says.

    Raises:
        LocationError: it cannot be written.
    """
    if "://" in target:
        with source.open("rb") as file, opened(target, "wb") as remote:
            shutil.copyfileobj(file, remote, _CHUNK_BYTES)
        return
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        _publish_here(source, target)
    except OSError as error:
        raise LocationError(
            f"cannot write {target}: {error.strerror or error}; what is to be in it is kept in {source}"
        ) from None


def _publish_here(source: Path, target: str) -> None:
    if is_plain(target):
        with source.open("rb") as file:
            write_whole(Path(target), file)
        return
    aside = Path(target).with_name(f".part-{Path(target).name}")  # whole or not at all, as any file
    try:
        with source.open("rb") as file, opened(str(aside), "wb") as packed:
            shutil.copyfileobj(file, packed, _CHUNK_BYTES)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
