"""A replica made small, and how to let everything that waits for nothing happen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from truss_async.clock import ManualClock
from truss_async.replicas.protocol import ReplicaUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from truss_async.errors import HarnessError
    from truss_async.replicas.protocol import ReplicaAnswer, ReplicaCall
    from truss_async.replicas.sockets import ReplicaSocket, SocketCall


class SteeredReplica:
    """Loads, fails and exits when the test says so."""

    def __init__(self, name: str = "replica-1") -> None:
        self.name = name
        self.starts = 0
        self.stops = 0
        self.may_stop = asyncio.Event()
        self.may_stop.set()
        self._outcomes: asyncio.Queue[HarnessError | None] = asyncio.Queue()
        self._exits: asyncio.Queue[str] = asyncio.Queue()
        self.get_requests: Callable[[bool], None]

    async def call(self, call: ReplicaCall) -> ReplicaAnswer:
        raise ReplicaUnreachableError(f"{self.name} answers nothing")

    async def connect(self, call: SocketCall) -> ReplicaSocket:
        raise ReplicaUnreachableError(f"{self.name} answers nothing")

    def loads(self) -> None:
        self._outcomes.put_nowait(None)

    def fails(self, error: HarnessError) -> None:
        self._outcomes.put_nowait(error)

    def holds(self) -> None:
        """Take back what it was told of its next loads."""
        self._outcomes = asyncio.Queue()

    def exits(self, reason: str = "exited with status 3") -> None:
        self._exits.put_nowait(reason)

    async def start(self) -> None:
        self.starts += 1
        if error := await self._outcomes.get():
            raise error

    async def stop(self) -> None:
        self.stops += 1
        await self.may_stop.wait()

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        self.get_requests = on_traffic
        return await self._exits.get()


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(40):
        await ManualClock().sleep(0)
