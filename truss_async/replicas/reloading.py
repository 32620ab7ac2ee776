"""A replica whose truss may be edited while it serves: the edited model takes over once it is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import HarnessError
from .protocol import Replica, ReplicaLoadError

if TYPE_CHECKING:
    from .protocol import ReplicaAnswer, ReplicaCall
    from .sockets import ReplicaSocket, SocketCall, SocketClosed


class TrussReplica(Replica, Protocol):
    """One that runs in a process of its own."""

    @property
    def pid(self) -> int | None:
        """The process that leads all of its others."""

    async def crash(self, reason: str) -> None:
        """Kill it as it stands, which ``reason`` tells afterwards."""


class ReloadingReplica:
    """Two replicas of one truss, of which one serves; the other loads what was edited, and then takes its place.

    Calls that were made before run to their end where they began, and those that come after go to the edited model: none
    waits, and none is lost. An edited model that does not load is told, and leaves the one that serves as it is.
    """

    def __init__(self, serving: TrussReplica, spare: TrussReplica, *, report: Callable[[str], None]) -> None:
        self.name = serving.name
        self._serving = serving
        self._spare = spare
        self._report = report
        self._calls: dict[TrussReplica, int] = {serving: 0, spare: 0}
        self._idle = asyncio.Event()
        self._swapped = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._is_loaded = False

    @property
    def pid(self) -> int | None:
        """The process of the one that serves."""
        return self._serving.pid

    async def crash(self, reason: str) -> None:
        """Kill the one that serves as it stands."""
        await self._serving.crash(reason)

    async def call(self, call: ReplicaCall) -> ReplicaAnswer:
        serving = self._serving
        self._calls[serving] += 1
        try:
            return _CountedAnswer(await serving.call(call), on_close=lambda: self._ended(serving))
        except BaseException:
            self._ended(serving)
            raise

    async def connect(self, call: SocketCall) -> ReplicaSocket:
        serving = self._serving
        self._calls[serving] += 1
        try:
            return _CountedSocket(await serving.connect(call), on_close=lambda: self._ended(serving))
        except BaseException:
            self._ended(serving)
            raise

    async def start(self) -> None:
        await self._serving.start()
        self._is_loaded = True

    async def stop(self) -> None:
        self._is_loaded = False
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])
        await asyncio.gather(self._serving.stop(), self._spare.stop())

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        gets_requests = True

        def note_traffic(may_come: bool) -> None:
            nonlocal gets_requests
            gets_requests = may_come
            on_traffic(may_come)

        while True:
            serving = self._serving
            self._swapped.clear()
            exiting = asyncio.ensure_future(serving.wait_exit(on_traffic=note_traffic))
            swapped = asyncio.ensure_future(self._swapped.wait())
            try:
                await asyncio.wait((exiting, swapped), return_when=asyncio.FIRST_COMPLETED)
                if not swapped.done():
                    return exiting.result()
            finally:
                for each in (exiting, swapped):
                    each.cancel()
                await asyncio.gather(exiting, swapped, return_exceptions=True)
            if not gets_requests:
                note_traffic(True)

    async def reload(self) -> None:
        """Load the edited model, and let it take over; return when the one before is gone, or the edited one failed.

        One that is not loaded now is left alone: it is started from the edited truss anyway.
        """
        if not self._is_loaded or self._reloading is not None:
            return
        self._reloading = asyncio.ensure_future(self._reload())
        try:
            await asyncio.wait([self._reloading])
        finally:
            reloading, self._reloading = self._reloading, None
            reloading.cancel()
            await asyncio.wait([reloading])
        if not reloading.cancelled():
            reloading.result()

    async def _reload(self) -> None:
        try:
            await self._spare.start()
        except HarnessError as error:
            self._tell_of(error)
        else:
            self._serving, self._spare = self._spare, self._serving
            self._swapped.set()
            self._report(f"{self.name} serves the new version")
            await self._until_idle(self._spare)
        finally:
            await self._spare.stop()

    async def _until_idle(self, replica: TrussReplica) -> None:
        while self._calls[replica]:
            self._idle.clear()
            await self._idle.wait()

    def _ended(self, replica: TrussReplica) -> None:
        self._calls[replica] -= 1
        self._idle.set()

    def _tell_of(self, error: HarnessError) -> None:
        if isinstance(error, ReplicaLoadError) and error.traceback is not None:
            for line in error.traceback.rstrip().splitlines():
                self._report(f"{self.name} | {line}")
        self._report(
            f"{self.name}: the new version does not load; the old one is served until the next edit: {error}"
        )


class _CountedAnswer:
    """An answer that tells when it was let go of."""

    def __init__(self, answer: ReplicaAnswer, *, on_close: Callable[[], None]) -> None:
        self._answer = answer
        self._on_close: Callable[[], None] | None = on_close

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return self._answer.headers

    async def read(self) -> bytes:
        return await self._answer.read()

    def chunks(self) -> AsyncIterator[bytes]:
        return self._answer.chunks()

    def close(self) -> None:
        self._answer.close()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()


class _CountedSocket:
    """A websocket that tells when it was closed."""

    def __init__(self, socket: ReplicaSocket, *, on_close: Callable[[], None]) -> None:
        self._socket = socket
        self._on_close: Callable[[], None] | None = on_close

    @property
    def subprotocol(self) -> str | None:
        return self._socket.subprotocol

    async def receive(self) -> str | bytes | SocketClosed:
        return await self._socket.receive()

    async def send(self, message: str | bytes) -> None:
        await self._socket.send(message)

    async def close(self, closed: SocketClosed) -> None:
        try:
            await self._socket.close(closed)
        finally:
            if self._on_close is not None:
                on_close, self._on_close = self._on_close, None
                on_close()
