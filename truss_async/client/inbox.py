"""A folder that keeps async predict results as they arrived."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import ObjectNotFoundError, OutputStoreError, SettingsError
from ..stores.result_objects import parse_any_result
from ..whole_files import write_whole

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult

# Letters, digits, hyphen, underscore: nothing that a file system or a shell reads as more than a name.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_DIGEST: Final = "sha256-"
_SUFFIX: Final = ".json"
_UNACKNOWLEDGED: Final = ".unacknowledged"
SHORTEST_PREFIX: Final = 6


def plain_name(request_id: str) -> str:
    """The request id, or its SHA-256 when it is no plain name."""
    if _PLAIN_NAME.fullmatch(request_id):
        return request_id
    return _DIGEST + hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class KeptResult:
    """A result in an inbox."""

    request_id: str
    path: Path
    received_at: datetime
    size_bytes: int

    def read(self) -> AsyncPredictResult:
        """What it says.

        Raises:
            InvalidResultError: it is none.
        """
        return parse_any_result(self.path.read_bytes(), url=str(self.path))


class Inbox:
    """Keeps each body as ``FOLDER/{request_id}.json``: the first one that came, never half of it.

    A request id that is no plain name is kept under its SHA-256, so that nothing is written outside the folder
    and nothing authentic is lost. Beside it may stand that an application has not acknowledged it yet. Safe to share
    between threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def path_of(self, request_id: str) -> Path:
        """Where the result of that request is, or would be."""
        return self.folder / f"{plain_name(request_id)}{_SUFFIX}"

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

    def result(self, request_id: str) -> AsyncPredictResult:
        """The same as a result.

        Raises:
            ObjectNotFoundError: there is none.
            InvalidResultError: it is damaged.
        """
        body = self.find(request_id)
        if body is None:
            raise ObjectNotFoundError(f"there is no result of {request_id} in {self.folder}")
        return parse_any_result(body, url=self.location_of(request_id))

    def kept(self, *, since: datetime | None = None) -> Iterator[KeptResult]:
        """The results that were received since then, the oldest first."""
        found: list[KeptResult] = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            facts = path.stat()
            received_at = datetime.fromtimestamp(facts.st_mtime, timezone.utc)
            if since is None or received_at >= since:
                found.append(KeptResult(_id_in(path), path, received_at, facts.st_size))
        yield from sorted(found, key=lambda each: each.received_at)

    def full_id(self, given: str) -> str:
        """The id of the one result whose id begins so; a whole id, and what begins none, stays as it is.

        Raises:
            SettingsError: several begin so.
        """
        if len(given) < SHORTEST_PREFIX or not _PLAIN_NAME.fullmatch(given) or self.path_of(given).exists():
            return given
        found = sorted(path.stem for path in self.folder.glob(f"{given}*{_SUFFIX}"))
        if len(found) > 1:
            raise SettingsError(f"several results begin with {given}: {', '.join(found[:10])}")
        return found[0] if found else given

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
                raise OutputStoreError(f"cannot store a result in {self.folder}: {error.strerror}") from None
        return True

    def set_aside(self, request_id: str) -> None:
        """Remember that an application has not acknowledged it."""
        self._mark_of(self.path_of(request_id)).touch(mode=0o600)

    def acknowledge(self, request_id: str) -> None:
        """It has now, or did before."""
        self._mark_of(self.path_of(request_id)).unlink(missing_ok=True)

    def unacknowledged(self, *, since: datetime | None = None) -> list[str]:
        """The ids of those that are set aside, of what was received since then, the oldest first."""
        return [each.request_id for each in self.kept(since=since) if self._mark_of(each.path).exists()]

    @staticmethod
    def _mark_of(path: Path) -> Path:
        return path.with_suffix(_UNACKNOWLEDGED)


def _id_in(path: Path) -> str:
    """A name that is a digest says nothing: the result does."""
    if not path.stem.startswith(_DIGEST):
        return path.stem
    try:
        return parse_any_result(path.read_bytes(), url=str(path)).request_id
    except OutputStoreError:
        return path.stem
