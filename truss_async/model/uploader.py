"""Brings what was spilled to its store, in the background."""

import threading
from collections.abc import Callable
from typing import Final

from ..clock import Clock
from ..errors import ObjectNotFoundError, OutputStoreError, TrussAsyncError
from ..printable import printable_logger
from ..stores import ObjectStore
from ..workers import start_worker
from .counters import SaveCounters
from .spill import SpillFolder
from .truss_server import before_the_end

logger = printable_logger(__name__)

SHUTDOWN_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SLICE_SECONDS: Final = 0.25


class Uploader:
    """One thread, alive while there is something in the folder; the end of the process gives it a last chance."""

    def __init__(
        self,
        folder: SpillFolder,
        *,
        open_store: Callable[[str], ObjectStore],
        counters: SaveCounters,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._open_store = open_store
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_registered = False
        self._is_closing = False
        self._had_last_chance = False
        self._pause = _FIRST_PAUSE_SECONDS

    def start(self) -> None:
        """See to what is in the folder, now and until it is empty."""
        with self._lock:
            is_at_work = self._thread is not None and self._thread.is_alive()
            if is_at_work or self._is_closing or not self._folder.waiting():
                return
            if not self._is_registered:
                before_the_end(self.close)
                self._is_registered = True
            self._pause = _FIRST_PAUSE_SECONDS
            self._thread = start_worker(
                self._turn,
                name="truss-async-uploader",
                trouble="what was spilled cannot be uploaded yet",
                rest=self._rest,
            )

    def close(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> None:
        """Try once more what is left, for a limited time; the next process finds the rest. Twice is harmless."""
        with self._lock:
            thread = None if self._is_closing else self._thread
            self._is_closing = True
        if thread is not None:
            thread.join(timeout_seconds)
            if left := len(self._folder.waiting()):
                logger.warning("%d objects stay in %s until the next start", left, self._folder.url)

    def _turn(self) -> bool:
        """Upload what waits, then pause; False when nothing is left, or the process ends."""
        if self._had_last_chance:
            return False
        self._had_last_chance = self._is_closing
        uploaded = self._upload_waiting()
        with self._lock:
            if self._had_last_chance or not self._folder.waiting():
                self._thread = None
                return False
        if uploaded:
            self._pause = _FIRST_PAUSE_SECONDS
        self._rest()
        return True

    def _rest(self) -> None:
        """Wait until it is worth trying again, a little longer each time; not when the process ends."""
        until = self._clock.monotonic() + self._pause
        while not self._is_closing and self._clock.monotonic() < until:
            self._clock.block(_SLICE_SECONDS)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _upload_waiting(self) -> int:
        """How many could be uploaded. After a failure, the rest of that request waits: a result is never first."""
        uploaded = 0
        failed: set[str] = set()
        waiting = {name: note for name in self._folder.waiting() if (note := self._folder.read(name))}
        versions: dict[tuple[str, str], list[str]] = {}
        for name, spilled in waiting.items():
            versions.setdefault((spilled.store_url, spilled.key), []).append(name)
        for name, spilled in waiting.items():
            *earlier, latest = versions[spilled.store_url, spilled.key]
            if spilled.request_id in failed or (name != latest and not spilled.only_if_absent):
                continue
            try:
                self._folder.upload(name, spilled, open_store=self._open_store)
                for replaced in () if spilled.only_if_absent else earlier:
                    self._folder.discard(replaced)
            except ObjectNotFoundError:
                continue  # another process that shares the folder was first
            except OutputStoreError as error:
                logger.warning("what was spilled cannot be uploaded yet: %s", error)
                if error.passes:
                    break
                failed.add(spilled.request_id)
            except (TrussAsyncError, OSError, RuntimeError) as error:
                # RuntimeError: at the end of the process, the store's own threads cannot be started any more.
                logger.warning("what was spilled cannot be uploaded: %s", error)
                break
            else:
                uploaded += 1
                self._counters.add("uploaded")
                logger.info("%s/%s is uploaded (%s)", spilled.store_url, spilled.key, self._counters.counts)
        return uploaded
