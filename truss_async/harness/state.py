"""The state folder: one harness at a time, readable by its owner only."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from ..errors import HarnessError
from .scratch_folders import scratch_folder


class StateFolder:
    """The folder of the durable queue, locked for as long as it is open.

    Raises:
        HarnessError: it cannot be made or written, or another harness uses it.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the folder, making it if need be; without a path, one that is removed at the end."""
        self._open = ExitStack()
        if path is None:
            path = self._open.enter_context(scratch_folder())
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._open.enter_context((self.path / "lock").open("a"))
        except OSError as error:
            self._open.close()
            raise HarnessError(f"cannot use the state folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._open.close()
            raise HarnessError(
                f"another harness uses the state folder {self.path}; stop it, or choose another with --state-dir"
            ) from None

    @property
    def queue_file(self) -> Path:
        """Where the request queue lies; made readable by the owner only."""
        file = self.path / "queue.sqlite3"
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        return file

    @property
    def webhook_secrets_file(self) -> Path:
        """Where the webhook secrets lie."""
        return self.path / "webhook-secrets.json"

    def close(self) -> None:
        """Let go of the folder."""
        self._open.close()
