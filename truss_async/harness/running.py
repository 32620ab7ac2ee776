"""What serves while its caller does something else: an event loop in a thread, a socket, the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from ..errors import HarnessError, TrussAsyncError

if TYPE_CHECKING:
    Begin = Callable[[AsyncExitStack], Awaitable[Sequence[asyncio.Task[Any]]]]

T = TypeVar("T")

BACKLOG = 2048
_LOOK_SECONDS = 0.5


class LoopThread:
    """An event loop in a thread of its own. ``report`` gets a line when what must not end has ended."""

    def __init__(self, name: str, *, report: Callable[[str], None]) -> None:
        self._name = name
        self._report = report
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self, begin: Begin) -> None:
        """Return once ``begin`` has, which returns tasks that must not end; its stack is unwound at the end.

        Raises:
            TrussAsyncError: that of ``begin``, or it was stopped meanwhile.
        """
        begun: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run_loop, args=(begin, begun), name=self._name, daemon=True
        )
        self._thread.start()
        # Python handles a signal that the system gave to another thread, such as Ctrl-C, when the main thread goes on.
        while not begun.done():
            futures.wait([begun], timeout=_LOOK_SECONDS)
        begun.result()

    def stop(self) -> None:
        """Stop everything; harmless when done twice."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already, and its loop is closed
                self._loop.call_soon_threadsafe(self._stopping.set)
        self.wait(None)

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait until it has ended; False when the time is up, or it was never started."""
        if self._thread is None:
            return False
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have it done on the event loop.

        Raises:
            HarnessError: it does not run, or ends before that is done.
        """
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise HarnessError("the harness is not running")
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        while not asked.done() and not self.wait(0):
            futures.wait([asked], timeout=_LOOK_SECONDS)
        if not asked.done() or asked.cancelled():
            raise HarnessError("the harness has stopped; if nobody stopped it, see its last log lines")
        return asked.result()

    def _run_loop(self, begin: Begin, begun: Future[None]) -> None:
        try:
            uvloop.run(self._serve(begin, begun))
        finally:
            if not begun.done():
                begun.set_exception(HarnessError("the harness did not start"))

    async def _serve(self, begin: Begin, begun: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as parts:
            stop = asyncio.ensure_future(self._stopping.wait())
            starting = asyncio.ensure_future(begin(parts))
            await asyncio.wait([stop, starting], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait([starting])
                begun.set_exception(HarnessError("the harness was stopped before it had started"))
                return
            try:
                tasks = starting.result()
            except TrussAsyncError as error:
                begun.set_exception(error)
                return
            begun.set_result(None)
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    self._report(f"the harness has failed ({task.get_name()}): {task.exception()!r}")


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        HarnessError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise HarnessError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --port (0 picks a free one)"
        ) from error
    return listening


def is_of_all(listening: socket.socket) -> bool:
    """Whether it listens on all addresses of this machine."""
    return ip_address(listening.getsockname()[0]).is_unspecified


def address(listening: socket.socket, *, seen_as: str | None = None) -> str:
    """The URL by which this machine reaches it, without a slash at the end: an address of its own where it listens on all.

    ``seen_as``: the one of those that others know.
    """
    host, port = listening.getsockname()[:2]
    if is_of_all(listening):
        host = seen_as or ("::1" if ":" in host else "127.0.0.1")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def ending_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, in place of what they did before. For the main thread."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
