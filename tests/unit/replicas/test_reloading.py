"""An edited model takes over once it is loaded; calls in the middle end where they began."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.unit.replicas.steered_replica import SteeredReplica, settle
from truss_async.errors import HarnessError
from truss_async.replicas.protocol import ReplicaCall, ReplicaLoadError
from truss_async.replicas.reloading import ReloadingReplica
from truss_async.replicas.sockets import SocketCall, SocketClosed, SocketRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CALL = ReplicaCall([], b"1")


class Answer:
    """An answer that comes from a replica of that number."""

    headers = ()

    def __init__(self, status: int) -> None:
        self.status = status

    async def read(self) -> bytes:
        return b""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    def close(self) -> None:
        """There is nothing to let go of."""


class Socket:
    """A websocket of a replica of that number, which is what it says."""

    def __init__(self, number: str) -> None:
        self.subprotocol = number
        self.heard: list[str | bytes] = []

    async def receive(self) -> str:
        return self.subprotocol

    async def send(self, message: str | bytes) -> None:
        self.heard.append(message)

    async def close(self, closed: SocketClosed) -> None:
        """There is nothing to let go of."""


class Numbered(SteeredReplica):
    """A replica with a process, which answers its number."""

    def __init__(self, number: int) -> None:
        super().__init__("replica-1")
        self.pid = number
        self.crashed: list[str] = []

    async def call(self, call: ReplicaCall) -> Answer:
        return Answer(self.pid)

    async def connect(self, call: SocketCall) -> Socket:
        if call.route == "refused":
            raise SocketRefusedError("no", status=404)
        return Socket(str(self.pid))

    async def crash(self, reason: str) -> None:
        self.crashed.append(reason)


class Stage:
    def __init__(self) -> None:
        self.first, self.second = Numbered(1), Numbered(2)
        self.reported: list[str] = []
        self.traffic: list[bool] = []
        self.replica = ReloadingReplica(self.first, self.second, report=self.reported.append)

    async def started(self) -> asyncio.Task[str]:
        """Start it; return what ends when it does."""
        self.first.loads()
        await self.replica.start()
        exiting = asyncio.ensure_future(self.replica.wait_exit(on_traffic=self.traffic.append))
        await settle()
        return exiting


def staged(test: Callable[[Stage, asyncio.Task[str]], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        exiting = await stage.started()
        try:
            await test(stage, exiting)
        finally:
            exiting.cancel()
            await asyncio.gather(exiting, return_exceptions=True)
            await stage.replica.stop()

    asyncio.run(main())


def test_the_edited_model_takes_over_once_it_is_loaded() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        reloading = asyncio.ensure_future(stage.replica.reload())
        await settle()
        assert (await stage.replica.call(CALL)).status == 1
        before = await stage.replica.call(CALL)
        stage.second.loads()
        await settle()
        assert ((await stage.replica.call(CALL)).status, stage.replica.pid) == (2, 2)
        assert (reloading.done(), stage.first.stops) == (False, 0)
        before.close()
        await settle()
        assert not reloading.done()  # the first call is not let go of, either
        reloading.cancel()
        await asyncio.gather(reloading, return_exceptions=True)
        assert not exiting.done()

    staged(main)


def test_the_model_before_is_stopped_when_its_last_call_is_over() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        answer = await stage.replica.call(CALL)
        stage.second.loads()
        reloading = asyncio.ensure_future(stage.replica.reload())
        await settle()
        assert stage.first.stops == 0
        answer.close()
        answer.close()
        await reloading
        assert (stage.first.stops, stage.second.stops) == (1, 0)
        assert stage.reported == ["replica-1 serves the new version"]

    staged(main)


def test_a_websocket_stays_with_the_model_that_it_was_opened_to() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        with contextlib.suppress(SocketRefusedError):
            await stage.replica.connect(SocketCall([], route="refused"))
        socket = await stage.replica.connect(SocketCall([]))
        stage.second.loads()
        reloading = asyncio.ensure_future(stage.replica.reload())
        await settle()
        assert (stage.replica.pid, reloading.done(), stage.first.stops) == (2, False, 0)
        await socket.send("x")
        assert (socket.subprotocol, await socket.receive()) == ("1", "1")
        await socket.close(SocketClosed(1000))
        await socket.close(SocketClosed(1000))
        await reloading
        assert stage.first.stops == 1

    staged(main)


def test_an_edit_that_does_not_load_leaves_the_model_and_is_told_once() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        stage.second.fails(ReplicaLoadError("the model did not load", traceback="Traceback\nSyntaxError: no"))
        await stage.replica.reload()
        answer = await stage.replica.call(CALL)
        answer.close()
        assert answer.status == 1
        assert (stage.first.stops, stage.second.stops, exiting.done()) == (0, 1, False)
        assert stage.reported[:2] == ["replica-1 | Traceback", "replica-1 | SyntaxError: no"]
        assert "the old one is served" in stage.reported[2]
        stage.second.loads()
        await stage.replica.reload()
        assert stage.replica.pid == 2

    staged(main)


def test_the_end_of_the_one_that_serves_is_noticed_also_after_it_took_over() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        stage.first.get_requests(False)
        stage.second.loads()
        await stage.replica.reload()
        await settle()
        assert stage.traffic == [False, True]  # the edited one is well
        stage.first.exits("long ago")
        await settle()
        assert not exiting.done()
        stage.second.exits("exited with status 4")
        assert await asyncio.wait_for(exiting, 5) == "exited with status 4"

    staged(main)


def test_what_is_not_loaded_is_not_reloaded() -> None:
    async def main() -> None:
        stage = Stage()
        await stage.replica.reload()
        assert (stage.first.starts, stage.second.starts) == (0, 0)
        stage.first.fails(HarnessError("no"))
        try:
            await stage.replica.start()
        except HarnessError:
            await stage.replica.reload()
        assert stage.second.starts == 0

    asyncio.run(main())


def test_stopping_leaves_nothing_behind_in_the_middle_of_a_reload() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        reloading = asyncio.ensure_future(stage.replica.reload())
        await settle()
        assert stage.second.starts == 1
        await stage.replica.stop()
        await reloading
        assert stage.first.stops == 1
        assert stage.second.stops >= 1
        assert stage.reported == []

    staged(main)


def test_the_one_that_serves_is_the_one_that_crashes() -> None:
    async def main(stage: Stage, exiting: asyncio.Task[str]) -> None:
        stage.second.loads()
        await stage.replica.reload()
        await stage.replica.crash("by a fault")
        assert (stage.first.crashed, stage.second.crashed) == ([], ["by a fault"])

    staged(main)
