"""The state folder: one harness at a time, readable by its owner only."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..errors import HarnessError
from ..own_folders import OTHERS, OTHERS_WRITE, own_folder
from .scratch_folders import scratch_folder

_QUEUE: Final = "queue.sqlite3"
_SQLITE: Final = b"SQLite format 3\0"
_SUBJECTS: Final = "deployments.json"
_SECRETS: Final = "webhook-secrets.json"
_OWNER_ONLY: Final = 0o600


class StateFolder:
    """The folder of the durable queue, locked for as long as it is open.

    Raises:
        SettingsError: it is not this user's own, or cannot be made or written.
        HarnessError: another harness uses it.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the folder, making it if need be; without a path, one that is removed at the end."""
        self._open = ExitStack()
        if path is None:
            path = self._open.enter_context(scratch_folder())
        self.path = path.absolute()
        try:
            self._own_id = own_folder(self.path, what="the state folder", closed=_closed(self.path))
            lock = self._own_file("lock")
            if lock is not None:
                self._open.callback(os.close, lock)
                self._lock(lock)
        except BaseException:
            self._open.close()
            raise

    @property
    def queue_file(self) -> Path:
        """Where the request queue lies; made readable by the owner only.

        Raises:
            HarnessError: something else lies there.
        """
        for name in (_QUEUE, f"{_QUEUE}-wal", f"{_QUEUE}-shm"):
            if (opened := self._own_file(name, is_made=name == _QUEUE)) is not None:
                os.close(opened)
        with (self.path / _QUEUE).open("rb") as database:
            if database.read(len(_SQLITE)) not in (b"", _SQLITE):
                raise HarnessError(
                    f"{database.name} is not a SQLite database; move it away, or choose another folder with --state-dir"
                )
        return self.path / _QUEUE

    @property
    def webhook_secrets_file(self) -> Path:
        """Where the webhook secrets lie; made readable by the owner only.

        Raises:
            HarnessError: something else lies there.
        """
        return self._kept_file(_SECRETS)

    @property
    def subjects_file(self) -> Path:
        """Where it is noted what each deployment id belongs to; made readable by the owner only.

        Raises:
            HarnessError: something else lies there.
        """
        return self._kept_file(_SUBJECTS)

    @property
    def outputs_folder(self) -> Path:
        """Where models save what they have no other store for; made by the first of them."""
        return self.path / "outputs"

    def close(self) -> None:
        """Let go of the folder."""
        self._open.close()

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HarnessError(
                f"another harness uses the state folder {self.path}; stop it, or choose another with --state-dir"
            ) from None

    def _kept_file(self, name: str) -> Path:
        if (opened := self._own_file(name, is_made=False)) is not None:
            os.close(opened)
        return self.path / name

    def _own_file(self, name: str, *, is_made: bool = True) -> int | None:
        """Open a file of the folder, and take all rights to it from others; None when it is not there, nor to be made."""
        path = self.path / name
        try:
            file = os.open(path, os.O_RDWR | os.O_NONBLOCK | (os.O_CREAT if is_made else 0), _OWNER_ONLY)
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise _misplaced(path) from None
        except OSError as error:
            raise HarnessError(f"cannot open {path}: {error.strerror}") from error
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), self._own_id):
            os.close(file)
            raise _misplaced(path)
        if status.st_mode & OTHERS:
            os.fchmod(file, _OWNER_ONLY)
        return file


def _closed(folder: Path) -> int:
    """The rights in the folder that others are to lose: all, save where it is a place for other things, too."""
    is_for_more = folder in (Path(os.environ.get("HOME", "/")), Path.cwd(), *Path.cwd().parents)
    return OTHERS_WRITE if is_for_more else OTHERS


def _misplaced(path: Path) -> HarnessError:
    return HarnessError(
        f"{path} is not a regular file owned by this user; move it away, or choose another folder with --state-dir"
    )
