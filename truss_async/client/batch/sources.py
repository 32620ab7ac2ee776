"""Where results are found by request id: an output store, a folder of ``listen --keep``, a file of ``on_result``."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from ...errors import (
    ObjectNotFoundError,
    OutputStoreError,
    RequestFailedError,
    SettingsError,
    UnsafeObjectKeyError,
)
from ...stores.result_objects import parse_result
from ..inbox import Inbox

if TYPE_CHECKING:
    from datetime import datetime

    from ...contract import AsyncPredictResult
    from ...stores import OutputStore
    from .relay import RelaySource

T = TypeVar("T")

_THREADS: Final = 16


class ResultSource(Protocol):
    """Results by request id. ``name`` is how people know it.

    ``grace_seconds`` is how long after the end of a request its result may still appear. ``errors_are_final``: a result
    with errors is the platform's last word, and not only that of one inference attempt. ``is_pushed``: results come by
    themselves, and there is nothing to look for.
    """

    name: str
    grace_seconds: float
    errors_are_final: bool
    is_pushed: bool

    async def look(self, request_id: str) -> AsyncPredictResult | None:
        """The result; None when it is not there.

        Raises:
            InvalidResultError: what is there is damaged.
            OutputStoreError: nobody can tell now; ``passes`` says whether that may change.
        """

    async def close(self) -> None:
        """Let go of what it holds."""


class _Threads:
    """Runs what blocks, so many at a time."""

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


class StoreSource:
    """What the model saved; nothing of it before ``since``."""

    grace_seconds = 30.0
    errors_are_final = False
    is_pushed = False

    def __init__(self, outputs: OutputStore, *, since: datetime | None = None) -> None:
        self.name = f"the output store {outputs.url}"
        self._outputs = outputs
        self._since = since
        self._threads = _Threads("truss-async-store")

    async def look(self, request_id: str) -> AsyncPredictResult | None:
        return await self._threads.run(lambda: self._get(request_id))

    def _get(self, request_id: str) -> AsyncPredictResult | None:
        try:
            return self._outputs.get(request_id, since=self._since)
        except (ObjectNotFoundError, UnsafeObjectKeyError):
            return None
        except RequestFailedError as error:
            failed: AsyncPredictResult = error.result
            return failed

    async def close(self) -> None:
        self._threads.close()


class FolderSource:
    """What ``listen --keep FOLDER`` has received."""

    grace_seconds = 10.0
    errors_are_final = True
    is_pushed = False

    def __init__(self, folder: Path) -> None:
        self.name = f"the inbox {folder}"
        self._inbox = Inbox(folder)
        self._threads = _Threads("truss-async-inbox-folder")

    async def look(self, request_id: str) -> AsyncPredictResult | None:
        return await self._threads.run(lambda: self._read(request_id))

    def _read(self, request_id: str) -> AsyncPredictResult | None:
        path = self._inbox.path_of(request_id)
        try:
            body = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputStoreError(f"cannot read {path}: {error.strerror}") from None
        return parse_result(body, request_id=request_id, url=str(path))

    async def close(self) -> None:
        self._threads.close()


class InboxFileSource:
    """What ``on_result`` has stored in its SQLite file; of what was handled, the result is erased unless it ``keeps``."""

    grace_seconds = 10.0
    errors_are_final = True
    is_pushed = False

    def __init__(self, path: Path) -> None:
        self.name = f"the inbox {path}"
        self._path = path
        self._threads = _Threads("truss-async-inbox-file")

    async def look(self, request_id: str) -> AsyncPredictResult | None:
        return await self._threads.run(lambda: self._read(request_id))

    def _read(self, request_id: str) -> AsyncPredictResult | None:
        try:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=8)
            try:
                row = connection.execute(
                    "SELECT body FROM results WHERE request_id = ?", (request_id,)
                ).fetchone()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise OutputStoreError(f"cannot read {self._path}: {error}") from None
        if row is None:
            return None
        if row[0] is None:
            raise OutputStoreError(
                f"{self._path} has handed the result of {request_id} to its handler, and erased it: "
                "make the inbox with on_result(…, keeps=True)",
                passes=False,
            )
        return parse_result(row[0], request_id=request_id, url=str(self._path))

    async def close(self) -> None:
        self._threads.close()


def inbox_source(location: str) -> ResultSource:
    """The source for a folder, or for the file of an inbox."""
    path = Path(location)
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return InboxFileSource(path)
    raise SettingsError(
        f"there is no inbox {location}: start its receiver first, with `truss-async listen --keep {location}`"
    )


def source_of(
    *,
    store: OutputStore | str | None,
    inbox: Path | str | None,
    relay: RelaySource | None = None,
    since: datetime | None = None,
) -> ResultSource:
    """The one source that a client was given; no result that is asked for was saved before ``since``.

    Raises:
        SettingsError: it was given none, or more than one.
    """
    from ...stores import OutputStore

    if sum(each is not None for each in (store, inbox, relay)) > 1:
        raise SettingsError("results come from one place: give one of store, inbox and relay")
    if relay is not None:
        return relay
    if store is not None:
        outputs = OutputStore.from_url(store) if isinstance(store, str) else store
        return StoreSource(outputs, since=since)
    if inbox is not None:
        return inbox_source(str(inbox))
    raise SettingsError(
        "where are the results? give the client store=… (the model has the plugin), inbox=… (of listen --keep) or relay=… "
        "(of listen --relay)"
    )
