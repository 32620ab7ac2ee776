"""The harness: every part of the local platform, started in order and stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import uvloop

from ..clock import SYSTEM_CLOCK, ManualClock
from ..errors import HarnessError
from .assembly import BACKLOG, start_parts
from .faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ..clock import Clock
    from .settings import HarnessSettings


def print_to_stderr(line: str) -> None:
    """Where lines for a person go by default."""
    print(line, file=sys.stderr, flush=True)


class Harness:
    """The local platform, as an object: ``with Harness(settings) as harness: … harness.url``.

    ``report`` gets one line for each thing a person should know, ``log`` each line that a replica logs.
    ``environment`` is added to the environment of the replicas. ``clock`` is the system's, unless the settings ask for a
    virtual one; moved by ``advance``, a ManualClock lets everything that falls due happen, in order, before it returns.
    """

    def __init__(
        self,
        settings: HarnessSettings,
        *,
        clock: Clock | None = None,
        report: Callable[[str], None] = print_to_stderr,
        log: Callable[[str], None] = print_to_stderr,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or (ManualClock(SYSTEM_CLOCK.now()) if settings.virtual_clock else SYSTEM_CLOCK)
        self.faults = Faults(clock=self.clock, report=report)
        for rule in settings.faults:
            self.faults.add(rule)
        self._report = report
        self._log = log
        self._environment = dict(environment or {})
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ended: Future[None] = Future()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end.

        Raises:
            HarnessError: it is not started.
        """
        if self._socket is None:
            raise HarnessError("the harness is not started")
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Accept calls; the model loads in the background.

        Raises:
            HarnessError: the port is taken, the state folder is in use, there is no such truss, …
        """
        listening = self._socket = _bind(self.settings.host, self.settings.port)
        accepting: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run_loop, args=(listening, accepting), name="truss-async-harness", daemon=True
        )
        self._thread.start()
        try:
            accepting.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything; harmless when done twice."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already, and its loop is closed
                self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has ended by itself, which it never should; False when the time is up."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return self._ended.done()

    def __enter__(self) -> Harness:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run_loop(self, listening: socket.socket, accepting: Future[None]) -> None:
        loop = uvloop.new_event_loop()
        self._loop = loop
        try:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(self._serve(listening, accepting))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()
            self._ended.set_result(None)
            if not accepting.done():
                accepting.set_exception(HarnessError("the harness did not start"))

    async def _serve(self, listening: socket.socket, accepting: Future[None]) -> None:
        self._stopping = asyncio.Event()
        async with AsyncExitStack() as parts:
            try:
                tasks = await start_parts(
                    parts,
                    self.settings,
                    listening=listening,
                    clock=self.clock,
                    faults=self.faults,
                    report=self._report,
                    log=self._log,
                    environment=self._environment,
                )
            except HarnessError as error:
                accepting.set_exception(error)
                return
            accepting.set_result(None)
            stop = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not task.cancelled():
                    self._report(f"the harness has broken down ({task.get_name()}): {task.exception()!r}")


def _bind(host: str, port: int) -> socket.socket:
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


def run(settings: HarnessSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; announce the address once calls are accepted. For the main thread.

    Raises:
        HarnessError: it cannot start, or has broken down.
    """
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with Harness(settings) as harness:
            gc.freeze()  # what is loaded by now stays; looking at it again and again would slow each request down
            announce(f"listening on {harness.url}")
            while not ended.wait(timeout=0.5):
                if harness.wait(timeout_seconds=0):
                    raise HarnessError("the harness has broken down; its last lines say why")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
