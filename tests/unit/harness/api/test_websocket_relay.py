"""What is passed between two websockets, and which side's end is told to the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocket

from tests.unit.replicas.steered_replica import settle
from truss_async.harness.api.websocket_relay import ENDED_IN_THE_MIDDLE, CallerSocket, RelayEnd, relay
from truss_async.replicas.sockets import LOST, SocketClosed, SocketLostError


class Model:
    """A replica's side: ``says`` is what it is going to say, ``heard`` what came to it."""

    subprotocol = None

    def __init__(self) -> None:
        self.says: asyncio.Queue[str | bytes | SocketClosed] = asyncio.Queue()
        self.heard: list[str | bytes] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.is_lost = False
        self.closed: SocketClosed | None = None

    async def receive(self) -> str | bytes | SocketClosed:
        return await self.says.get()

    async def send(self, message: str | bytes) -> None:
        await self.has_room.wait()
        if self.is_lost:
            raise SocketLostError("lost")
        self.heard.append(message)

    async def close(self, closed: SocketClosed) -> None:
        self.closed = closed


class Stage:
    """A caller behind a server of ASGI, and a model."""

    def __init__(self) -> None:
        self.model = Model()
        self.caller_says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.caller_heard: list[Any] = []
        self.caller_has_room = asyncio.Event()
        self.caller_has_room.set()
        self.caller_fails: Exception | None = None
        self.stopping = asyncio.Event()

    async def relayed(self) -> asyncio.Task[RelayEnd]:
        self.caller_says.put_nowait({"type": "websocket.connect"})
        websocket = WebSocket({"type": "websocket", "headers": []}, self.caller_says.get, self._send)
        await websocket.accept()
        self.caller_heard.clear()
        self.caller = CallerSocket(websocket)
        task = asyncio.ensure_future(relay(self.caller, self.model, stopping=self.stopping))
        await settle()
        return task

    def say(self, **content: str | bytes | None) -> None:
        self.caller_says.put_nowait({"type": "websocket.receive", **content})

    async def _send(self, message: Any) -> None:
        await self.caller_has_room.wait()
        if self.caller_fails is not None:
            raise self.caller_fails
        self.caller_heard.append(message)


def staged(test: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Stage())

    asyncio.run(main())


def test_who_sends_faster_than_the_other_side_reads_waits() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.model.has_room.clear()
        stage.caller_has_room.clear()
        for number in range(5):
            stage.say(text=str(number))
            stage.model.says.put_nowait(str(number))
        await settle()
        assert (stage.caller_says.qsize(), stage.model.says.qsize()) == (4, 4)  # one each is on its way
        stage.model.has_room.set()
        stage.caller_has_room.set()
        await settle()
        assert stage.model.heard == ["0", "1", "2", "3", "4"]
        assert [each["text"] for each in stage.caller_heard] == ["0", "1", "2", "3", "4"]
        stage.stopping.set()
        assert (await task).by == "harness"
        assert stage.caller.sent_bytes == 5

    staged(test)


def test_text_stays_text_and_bytes_stay_bytes() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.say(text="", bytes=None)
        stage.say(text=None, bytes=b"")
        stage.say(bytes=b"\xff")
        stage.caller_says.put_nowait({"type": "websocket.disconnect", "code": 1000})
        assert await task == RelayEnd("caller", SocketClosed(1000))
        assert stage.model.heard == ["", b"", b"\xff"]
        assert stage.model.closed == SocketClosed(1000)
        assert stage.caller_heard == []

    staged(test)


def test_a_model_that_says_its_last_word_and_closes_is_heard_though_the_caller_still_talks() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.model.is_lost = True
        stage.say(text="too late")
        await settle()
        assert not task.done()
        stage.model.says.put_nowait("the last word")
        stage.model.says.put_nowait(SocketClosed(4000, "done"))
        assert await task == RelayEnd("model", SocketClosed(4000, "done"))
        assert [each.get("text") or each["code"] for each in stage.caller_heard] == ["the last word", 4000]

    staged(test)


def test_a_model_that_is_lost_is_an_error_of_the_server() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.model.says.put_nowait(SocketClosed(LOST))
        assert await task == RelayEnd("model", ENDED_IN_THE_MIDDLE)
        assert [each["code"] for each in stage.caller_heard] == [1011]

    staged(test)


@pytest.mark.parametrize("error", [OSError("reset"), RuntimeError("the server has closed it")])
def test_a_caller_that_cannot_be_reached_is_told_by_its_own_side(error: Exception) -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.caller_fails = error
        stage.model.says.put_nowait("x")
        await settle()
        assert not task.done()
        stage.caller_says.put_nowait({"type": "websocket.disconnect", "code": 1006})
        assert await task == RelayEnd("caller", SocketClosed(LOST))
        assert stage.model.closed == SocketClosed(LOST)

    staged(test)


def test_where_both_sides_cannot_be_sent_to_it_is_over() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        stage.caller_fails, stage.model.is_lost = OSError("reset"), True
        stage.model.says.put_nowait("x")
        stage.say(text="x")
        assert (await task).closed == ENDED_IN_THE_MIDDLE

    staged(test)


def test_one_that_is_cancelled_closes_both() -> None:
    async def test(stage: Stage) -> None:
        task = await stage.relayed()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert stage.model.closed is not None
        assert [each["code"] for each in stage.caller_heard] == [1001]

    staged(test)
