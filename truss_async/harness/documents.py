"""Small texts that outlive the harness, such as its webhook secrets: each is read, and changed, as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from ..errors import HarnessError
from ..whole_files import write_whole

_OWNER_ONLY: Final = 0o600


class Document(Protocol):
    """May wait for a disk or a network, so that an event loop asks it in a thread."""

    def __str__(self) -> str:
        """Where a person finds it."""

    def read(self) -> bytes | None:
        """What it says; None when it was never written.

        Raises:
            HarnessError: it cannot be read.
        """

    def change(self, change: Callable[[bytes | None], bytes]) -> bytes:
        """Put in its place what ``change`` makes of it, which nobody else changes meanwhile; return that.

        Raises:
            HarnessError: it cannot be read or written; or what ``change`` raises. It is what it was then.
        """


class FileDocument:
    """A Document in a file that its owner alone can read, in a folder that nobody else writes to. ``what`` is its name."""

    def __init__(self, path: Path, *, what: str = "") -> None:
        self.path = path
        self._what = f"{what} {path}".strip()

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HarnessError(f"cannot read {self._what}: {error.strerror}") from error

    def change(self, change: Callable[[bytes | None], bytes]) -> bytes:
        before = self.read()
        content = change(before)
        if content != before:
            try:
                write_whole(self.path, content, mode=_OWNER_ONLY)
            except OSError as error:
                raise HarnessError(f"cannot write {self._what}: {error.strerror}") from error
        return content
