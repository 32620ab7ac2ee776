"""Handling a result after it was acknowledged: stored first, then handled, again if need be."""

from __future__ import annotations

import atexit
import inspect
import threading
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import SettingsError, WebhookReceiverError, WebhookVerificationError
from ..forks import in_forked_process
from ..printable import printable_logger
from ..workers import Caught, LoopThread, start_worker
from .handlers import check_handler, refuse_generator
from .lease import renewed
from .stored_results import StoredResults
from .verification import parse_result

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult
    from .stored_results import ClaimedResult, FailedResult

logger = printable_logger(__name__)

DEFAULT_PATH: Final = "webhook-inbox.sqlite"
RETRY_DELAYS_SECONDS: Final = (1.0, 10.0, 60.0, 600.0)
# Nobody waits for the lease to end, so it may be longer than a process stands still now and then.
LEASE_SECONDS: Final = 30.0
# How soon what another process left behind, or a retry, is noticed.
_POLL_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 10.0
MAX_ERROR_CHARACTERS: Final = 2000


def on_result(
    handler: Callable[[AsyncPredictResult], Any],
    *,
    path: str | Path = DEFAULT_PATH,
    threads: int = 1,
    keeps: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> ResultInbox:
    """Handle each result once, after it was stored in the SQLite file at ``path``; returns the running inbox.

    ``inbox.accept(result)`` stores; then acknowledge. ``handler`` is called from a thread of the inbox, ``threads`` at a
    time; a coroutine function runs in the one event loop of the inbox. When it raises, whatever that is, it is called
    again after 1 s, 10 s, 1 min and 10 min; then the result is set aside, and ``inbox.failed()`` shows it. What a
    process that died had not finished is handled by the next one, or by another that uses the file.

    A result is erased once it is handled; with ``keeps`` it stays for a week, for a batch that finds its results in the file.

    Raises:
        SettingsError: the handler cannot be called with a result, or yields.
    """
    inbox = ResultInbox(handler, path=path, threads=threads, keeps=keeps, clock=clock)
    inbox.start()
    return inbox


class ResultInbox:
    """What ``on_result`` returns. Safe to share between threads; processes of one machine may share the file.

    Exactly once for a handler that ends; one whose process dies in the middle is called again, elsewhere or at the next
    start. A result that ends the process each time is set aside like one whose handler raises.
    """

    def __init__(
        self,
        handler: Callable[[AsyncPredictResult], Any],
        *,
        path: str | Path,
        threads: int = 1,
        keeps: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        check_handler(handler, may_be_async=True)
        if threads < 1:
            raise SettingsError(f"threads={threads}: give 1 or more")
        self._handler = handler
        self._results = StoredResults(path, clock=clock, keeps=keeps)
        self._thread_count = threads
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._loop = LoopThread("truss-async-inbox-loop")
        self._wake = threading.Event()
        self._is_closing = False
        in_forked_process(self._leave_parent)

    def accept(self, result: AsyncPredictResult) -> bool:
        """Store it as it was received; acknowledge the webhook when this returns. False: it was here already, and is not handled again.

        Raises:
            WebhookReceiverError: it could not be stored, or nobody here is left to handle it; do not acknowledge it,
                and the sender comes again.
        """
        is_new = self._results.add(result.request_id, result.as_received())
        self.start()
        self._wake.set()
        return is_new

    def start(self) -> None:
        """Handle what is waiting, and what comes. Twice is harmless; ``accept`` does it, too.

        Raises:
            WebhookReceiverError: no thread can be started for it.
        """
        with self._lock:
            if self._is_closing:
                return
            if not self._threads:
                atexit.register(self.close)
            alive = [thread for thread in self._threads if thread.is_alive()]
            if len(alive) < len(self._threads):
                logger.error("a thread that handles results had ended; another takes its place")
            self._threads = alive
            while len(self._threads) < self._thread_count:
                self._threads.append(self._started_thread())

    def _started_thread(self) -> threading.Thread:
        try:
            return start_worker(
                self._turn,
                name="truss-async-inbox",
                trouble="results wait to be handled",
                rest=lambda: self._wake.wait(_POLL_SECONDS),
            )
        except RuntimeError as error:
            raise WebhookReceiverError(
                f"the result is stored, but no thread can be started to handle it: {error}"
            ) from None

    def _leave_parent(self) -> None:
        """In a forked process: none of the parent's threads are here, whatever they hold."""
        self._lock, self._wake, self._threads = threading.Lock(), threading.Event(), []

    def close(self, *, timeout_seconds: float = _CLOSE_SECONDS) -> None:
        """Let the handler that runs end, and start no other; the rest waits for the next start. Twice is harmless.

        A coroutine function that has not ended by then is cancelled, and so is what it left in the background.
        """
        with self._lock:
            self._is_closing = True
        self._wake.set()
        if self._loop.is_this_thread() or threading.current_thread() in self._threads:
            return  # a handler does it: nobody can wait for himself to end
        deadline = SYSTEM_CLOCK.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()))
        self._loop.close()
        atexit.unregister(self.close)

    def __enter__(self) -> ResultInbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def failed(self) -> list[FailedResult]:
        """What was set aside after its last attempt, oldest first."""
        return self._results.failed()

    def retry(self, request_id: str) -> bool:
        """Handle again what was set aside, once its cause is removed; False when there is no such result."""
        is_found = self._results.retry(request_id)
        self._wake.set()
        return is_found

    def count_waiting(self) -> int:
        """How many are still to be handled, in this process or another."""
        return self._results.count_waiting()

    def _turn(self) -> bool:
        """Handle what is due, then wait for more; False once the inbox is closed."""
        self._wake.clear()
        while not self._is_closing and self._handle_next():
            pass
        if not self._is_closing:
            self._wake.wait(_POLL_SECONDS)
        return not self._is_closing

    def _handle_next(self) -> bool:
        """False when there is nothing to do now."""
        owner = uuid.uuid4().hex
        claimed = self._results.claim(owner, seconds=LEASE_SECONDS)
        if claimed is None:
            return False
        if claimed.attempts > len(RETRY_DELAYS_SECONDS) + 1:
            self._give_up(claimed, owner, "the process ended while the result was being handled")
            return True
        try:
            result = parse_result(claimed.body)
        except WebhookVerificationError as error:
            self._give_up(claimed, owner, f"what is stored was changed: {error}")
            return True
        renew = partial(self._results.renew, claimed.request_id, owner)
        # Whatever is raised, the result stays.
        with Caught() as caught, renewed(renew, lease_seconds=LEASE_SECONDS):
            self._call(result)
        if caught.error is None:
            self._finish(claimed.request_id)
        else:
            request_id = claimed.request_id
            logger.error("the handler failed on the result of %a", request_id, exc_info=caught.error)
            self._fail(claimed, owner, _told(caught.error))
        return True

    def _call(self, result: AsyncPredictResult) -> None:
        outcome = self._handler(result)
        while inspect.isawaitable(outcome):  # also what a coroutine function forgot to await
            outcome = self._loop.run(_awaited(outcome))
        refuse_generator(outcome)

    def _finish(self, request_id: str) -> None:
        """Try until it is stored that the result was handled: else it would be handled again."""
        while True:
            try:
                return self._results.finish(request_id)
            except WebhookReceiverError as error:
                if self._is_closing:
                    raise
                logger.error("%s", error)
                self._wake.wait(_POLL_SECONDS)

    def _fail(self, claimed: ClaimedResult, owner: str, error: str) -> None:
        delay = next_handling_delay(claimed.attempts)
        if delay is None:
            self._give_up(claimed, owner, error)
        else:
            self._results.put_off(claimed.request_id, owner, seconds=delay, error=error)

    def _give_up(self, claimed: ClaimedResult, owner: str, error: str) -> None:
        self._results.give_up(claimed.request_id, owner, error=error)
        logger.error("the result of %a is set aside: %s", claimed.request_id, error)


async def _awaited(outcome: Awaitable[Any]) -> Any:
    return await outcome


def _told(error: BaseException) -> str:
    """What was raised, in words that can be kept: those of an error of the user's own may be any, or none."""
    words = "no message"
    with Caught():
        words = str(error)
    kept = f"{type(error).__name__}: {words}".encode("utf-8", "backslashreplace").decode()
    return kept if len(kept) <= MAX_ERROR_CHARACTERS else f"{kept[:MAX_ERROR_CHARACTERS]}…"


def next_handling_delay(attempts_made: int) -> float | None:
    """The seconds until a result is handled again; None when it is to be set aside."""
    if attempts_made > len(RETRY_DELAYS_SECONDS):
        return None
    return RETRY_DELAYS_SECONDS[attempts_made - 1]
