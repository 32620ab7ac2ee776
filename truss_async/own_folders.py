"""Folders whose contents are obeyed, or hold what is nobody else's business: no other user may write there."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import SettingsError
from .printable import printable_logger

if TYPE_CHECKING:
    from typing import BinaryIO

OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0

_LOG: Final = printable_logger(__name__)


def own_folder(path: Path, *, what: str, closed: int = OTHERS_WRITE) -> int:
    """Let the folder be this user's own; return the user id that this process's files have there.

    One that is not there is made, for this user alone. Of one that is this user's, those rights are taken away from
    others that are in ``closed``. SettingsError, which names ``what`` the folder is for, when it is another user's or
    reached through another user's link, or everybody may write there as in /tmp.
    """
    try:
        _make(path)
        own_id = _id_of_new_files(path)
        trusted = {os.geteuid(), own_id, _ROOT}
        status = path.stat()
        if not {status.st_uid, path.lstat().st_uid} <= trusted:
            raise SettingsError(
                f"{what} {path} belongs to another user, who could change its files; choose a folder that you own"
            )
        is_for_all = bool(status.st_mode & stat.S_ISVTX) or status.st_uid not in (os.geteuid(), own_id)
        if is_for_all and status.st_mode & stat.S_IWOTH:
            raise SettingsError(
                f"{what} {path} is writable by everyone; choose a folder below it, which is then created for this user alone"
            )
        if not is_for_all and status.st_mode & closed:
            path.chmod(stat.S_IMODE(status.st_mode) & ~closed)
            _LOG.warning("%s %s was accessible to other users; it is private now", what, path)
    except OSError as error:
        raise SettingsError(
            f"{what} {path} cannot be used: {error.strerror}; choose a folder that you own"
        ) from error
    return own_id


def _make(path: Path) -> None:
    """Its parents, too, are made for this user alone, whatever the umask is."""
    for folder in (*reversed(path.parents), path):
        if folder == path or not folder.exists():
            with contextlib.suppress(FileExistsError):  # what it is, is looked at afterwards
                folder.mkdir(mode=stat.S_IRWXU)


def is_file_of(file: BinaryIO, user_id: int) -> bool:
    """Whether the open file was made by that user."""
    return os.fstat(file.fileno()).st_uid == user_id


def _id_of_new_files(folder: Path) -> int:
    """Not this process's own where the file system says so, as NFS and mounted volumes may."""
    scratch = folder / f".{uuid.uuid4().hex}.part"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
