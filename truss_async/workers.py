"""Threads that work on and on: what one piece of work raises ends that piece, and never the thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Any, Final, TypeVar

from .errors import TrussAsyncError
from .forks import in_forked_process
from .printable import printable_logger

T = TypeVar("T")

logger = printable_logger(__name__)

_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5
# Loops of a parent process: what they hold must not be closed, or even collected, in a forked one.
_INHERITED: Final[list[asyncio.AbstractEventLoop]] = []


class Caught:
    """Catches what is raised in a ``with`` block, whatever it is: SystemExit, KeyboardInterrupt, a test framework's own.

    For work that others wrote, on a thread that has more to do; ``error`` is what was raised, None when nothing was.
    """

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.error = error
        return True


def start_worker(
    turn: Callable[[], bool],
    *,
    name: str,
    trouble: str,
    rest: Callable[[], object] = lambda: None,
    is_daemon: bool = True,
) -> threading.Thread:
    """A thread that takes turns until one returns False; ``rest`` waits for a moment after one that raised.

    Nothing that a turn raises ends the thread: it is logged as ``trouble``.
    """

    def work() -> None:
        goes_on = True
        while goes_on:
            goes_on = _take(turn, rest, trouble)

    thread = threading.Thread(target=work, name=name, daemon=is_daemon)
    thread.start()
    return thread


def _take(turn: Callable[[], bool], rest: Callable[[], object], trouble: str) -> bool:
    with Caught() as caught:
        return turn()
    with contextlib.suppress(BaseException):  # there is nobody to tell that telling of it failed, or waiting
        log(trouble, caught.error)
        rest()
    return True


def log(trouble: str, error: BaseException | None) -> None:
    """As an error: in a line what this package raises on purpose, with its traceback what it does not."""
    if isinstance(error, TrussAsyncError):
        logger.error("%s: %s", trouble, error)
    else:
        logger.error(trouble, exc_info=error)


class LoopThread:
    """An event loop in a thread of its own, from its first use until it is closed. Safe to share between threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        in_forked_process(self._leave_parent)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it awaited on the loop; return or raise what comes of it, whatever that is."""
        outcome: Future[T] = Future()

        async def watched() -> None:
            with Caught() as caught:  # what would end the loop, too: it belongs to whoever waits
                outcome.set_result(await work)
            if caught.error is not None:
                outcome.set_exception(caught.error)

        with self._lock:
            task = asyncio.run_coroutine_threadsafe(watched(), self._running_loop())
        try:
            # Python handles a signal that the system gave to another thread, such as Ctrl-C, when this one goes on.
            while not outcome.done():
                futures.wait([outcome], timeout=_LOOK_SECONDS)
            return outcome.result()
        finally:
            task.cancel()  # if whoever waited was called away

    def close(self) -> None:
        """Cancel what is left on the loop, and end the thread. Twice is harmless."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        with contextlib.suppress(FutureTimeoutError):
            asyncio.run_coroutine_threadsafe(_wind_up(), loop).result(_PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)
        if not thread.is_alive():
            loop.close()

    def is_this_thread(self) -> bool:
        """Whether it is asked from the loop."""
        return threading.current_thread() is self._thread

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()

            def turn() -> bool:
                asyncio.set_event_loop(loop)
                loop.run_forever()
                return False

            trouble = "a task in the background ended with what would have ended the event loop"
            self._thread = start_worker(turn, name=self._name, trouble=trouble)
            self._loop = loop
        return self._loop

    def _leave_parent(self) -> None:
        """In a forked process: the parent's thread is not here, whatever it holds."""
        if self._loop is not None:
            _INHERITED.append(self._loop)
        self._lock, self._loop, self._thread = threading.Lock(), None, None


async def _wind_up() -> None:
    """End what is left on this loop, as far as it lets itself be ended."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_PATIENCE_SECONDS / 2)
    await asyncio.get_running_loop().shutdown_asyncgens()
