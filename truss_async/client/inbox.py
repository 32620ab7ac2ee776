"""A folder that keeps async predict results as they arrived."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

from ..errors import OutputStoreError
from ..whole_files import write_whole

# Letters, digits, hyphen, underscore: nothing that a file system or a shell reads as more than a name.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


def plain_name(request_id: str) -> str:
    """The request id, or its SHA-256 when it is no plain name."""
    if _PLAIN_NAME.fullmatch(request_id):
        return request_id
    return "sha256-" + hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()


class Inbox:
    """Keeps each body as ``FOLDER/{request_id}.json``: the first one that came, never half of it.

    A request id that is no plain name is kept under its SHA-256, so that nothing is written outside the folder
    and nothing authentic is lost. Safe to share between threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def path_of(self, request_id: str) -> Path:
        """Where the result of that request is, or would be."""
        return self.folder / f"{plain_name(request_id)}.json"

    def location_of(self, request_id: str) -> str:
        """The same, to show."""
        return str(self.path_of(request_id))

    def find(self, request_id: str) -> bytes | None:
        """The body that was kept; None when there is none."""
        path = self.path_of(request_id)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputStoreError(f"cannot read {path}: {error.strerror}") from None

    def keep(self, request_id: str, body: bytes) -> bool:
        """Write the body so that it survives a crash; False when that request's result was there already."""
        path = self.path_of(request_id)
        with self._lock:
            try:
                if path.exists():
                    return False
                self.folder.mkdir(parents=True, exist_ok=True)
                write_whole(path, body, mode=0o600)
            except OSError as error:
                raise OutputStoreError(f"cannot keep a result in {self.folder}: {error.strerror}") from None
        return True
