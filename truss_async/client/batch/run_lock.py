"""One run at a time on one ledger, also after a kill."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ...errors import SettingsError


class RunLock:
    """Held from its making until it is let go of, or the process ends in whatever way.

    Raises:
        SettingsError: somebody else holds it, or nothing can be written there.
    """

    def __init__(self, path: Path, *, ledger: Path) -> None:
        self._path = path
        while True:
            self._descriptor = _opened(path)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                raise SettingsError(
                    f"another run is at work on the ledger {ledger}; wait for its end"
                ) from None
            if self._is_current():
                return
            os.close(self._descriptor)  # whoever held it has removed it meanwhile

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _is_current(self) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            return False


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(
            f"cannot write in {path.parent}: {error.strerror}; the ledger of a batch lies there: "
            "make room for it, or give another --ledger"
        ) from None
