"""``file:///folder``: objects as files below one folder of this machine.

A folder keeps bytes alone: the content type is guessed from the name, and metadata is not kept. Below the folder no
symbolic link is followed, so that no key and no planted link leads out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from mimetypes import MimeTypes
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import quote

from ..errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError
from ..whole_files import FOLDER, write_whole_in
from .bodies import opened_body
from .keys import check_object_key
from .presigning import cannot_presign
from .protocol import NO_METADATA, ObjectInfo

if TYPE_CHECKING:
    from .credentials import StoreCredentials
    from .options import StoreOptions
    from .protocol import Body

_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_REMEDIES: Final = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "the user's disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EACCES: "give this user write permission there",
    errno.EPERM: "give this user write permission there",
    errno.EROFS: "choose a folder that can be written",
    errno.ELOOP: "symbolic links below the store's folder are not followed",
    errno.ENOTDIR: "a part of the path is a file or a symbolic link, not a folder",
}
_LASTING: Final = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EFBIG")
)
_CONTENT_TYPES: Final = MimeTypes()  # the built-in table alone, whatever this machine has installed


def open_store(_host: str, path: str, _credentials: StoreCredentials, _options: StoreOptions) -> FileStore:
    """The store in that folder."""
    return FileStore(Path("/", path))


class FileStore:
    """Objects that survive a crash of the process or the machine: written aside, flushed to disk, then renamed."""

    has_conditional_puts: Final = True

    def __init__(self, root: Path, *, private: bool = False) -> None:
        """``private``: this user alone can read what is written."""
        self._root = root
        self._mode = stat.S_IRUSR | stat.S_IWUSR if private else None
        self._url = f"file://{quote(str(root))}"

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
        check_object_key(key)
        with (
            opened_body(body) as (source, _),
            self._translated("write", key),
            self._folder(key, create=True) as folder,
        ):
            # What a kill leaves behind is never taken for an object: no key has a part that starts with a dot.
            write_whole_in(folder, _name(key), source, mode=self._mode, only_if_absent=only_if_absent)

    def open(self, key: str) -> BinaryIO:
        check_object_key(key)
        with self._translated("read", key), self._folder(key) as folder:
            # Not blocking: what lies there might be a pipe.
            file = os.open(_name(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            if stat.S_ISREG(os.fstat(file).st_mode):
                return os.fdopen(file, "rb")
            os.close(file)
            raise IsADirectoryError(errno.EISDIR, "not a file")

    def head(self, key: str) -> ObjectInfo:
        with self.open(key) as file:
            return _info(key, os.fstat(file.fileno()))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        parent = prefix.rpartition("/")[0]
        start = self._root / parent
        with self._translated("list", prefix):
            if start.resolve() != self._root.resolve() / parent:
                return  # a link, or a way up
            for info in _walk(start, f"{parent}/" if parent else ""):
                if info.key.startswith(prefix):
                    yield info

    def delete(self, key: str) -> None:
        check_object_key(key)
        with (
            contextlib.suppress(ObjectNotFoundError),
            self._translated("delete", key),
            self._folder(key) as folder,
        ):
            os.unlink(_name(key), dir_fd=folder)

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        cannot_presign(f"{self._url}/{check_object_key(key)}")

    @contextmanager
    def _folder(self, key: str, *, create: bool = False) -> Iterator[int]:
        """The open folder that holds the key, reached one part at a time so that no link can lead away."""
        if create:
            _make_folder(self._root)
        folder = os.open(self._root, FOLDER)
        try:
            for part in key.split("/")[:-1]:
                if create:
                    _make_folder_in(folder, part)
                inner = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _translated(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise ObjectExistsError(f"there is an object {self._url}/{key} already") from error
            if error.errno in _ABSENT and action != "write":
                raise ObjectNotFoundError(f"there is no object {self._url}/{key}") from error
            remedy = _REMEDIES.get(error.errno or 0)
            message = f"cannot {action} {self._url}/{key}: {error.strerror or type(error).__name__}"
            told = f"{message}; {remedy}" if remedy else message
            raise OutputStoreError(told, passes=error.errno not in _LASTING) from error


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _make_folder(path: Path) -> None:
    """Make the folder and those above it, each flushed to disk in the one that holds it."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    parent = os.open(path.parent, FOLDER)
    try:
        _make_folder_in(parent, path.name)
    finally:
        os.close(parent)


def _make_folder_in(folder: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return
    os.fsync(folder)


def _walk(folder: Path, prefix: str) -> Iterator[ObjectInfo]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):  # removed since
                yield _info(prefix + entry.name, entry.stat(follow_symlinks=False))


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key,
        size_bytes=status.st_size,
        content_type=_CONTENT_TYPES.guess_type(key)[0],
        modified_at=datetime.fromtimestamp(status.st_mtime, timezone.utc),
    )
