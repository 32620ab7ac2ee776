"""Folders for what is not to be kept, also when the process that made one is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import SettingsError
from ..own_folders import OTHERS, own_folder

_PREFIX: Final = "run-"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder of this user alone, removed at the end; what killed processes left is removed at the beginning.

    All lie in one folder, and each is locked for as long as its process lives. SettingsError when there is no place.
    """
    parent = Path(tempfile.gettempdir(), f"truss-async-{os.getuid()}")
    with _alone_in(parent):
        dead = list(_dead_in(parent))
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(folder, _FOLDER)
        fcntl.flock(lock, fcntl.LOCK_EX)
    clearing = threading.Thread(target=_clear, args=(dead,), name="clear scratch folders", daemon=True)
    clearing.start()
    try:
        yield folder
    finally:
        _remove(folder)
        clearing.join()
        os.close(lock)
        with contextlib.suppress(SettingsError, OSError), _alone_in(parent):
            parent.rmdir()  # unless others are at work there


@contextmanager
def _alone_in(parent: Path) -> Iterator[None]:
    """Wait for others that make or look for folders there; the lock ends with the process."""
    descriptor = _locked(parent)
    while not _is_at(descriptor, parent):
        os.close(descriptor)  # it was removed meanwhile
        descriptor = _locked(parent)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _locked(parent: Path) -> int:
    while True:
        _make_own(parent)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(parent, _FOLDER)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return descriptor


def _make_own(parent: Path) -> None:
    while True:
        try:
            own_folder(parent, what="the folder for temporary files (TMPDIR)", closed=OTHERS)
        except SettingsError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise  # else another process, the last one there, has just removed it
        else:
            return


def _dead_in(parent: Path) -> Iterator[tuple[Path, int]]:
    """The folders of processes that have ended, locked."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder, _FOLDER | os.O_NOFOLLOW)
        except OSError:
            continue  # its process has just removed it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            yield folder, lock


def _clear(dead: list[tuple[Path, int]]) -> None:
    for folder, lock in dead:
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove it with all that is in it, also what its owner may not write."""
    for path, names, _ in os.walk(folder):
        for name in names:
            if not (inner := Path(path, name)).is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
