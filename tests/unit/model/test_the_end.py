"""What is done once the server has answered its last request."""

from __future__ import annotations

import asyncio
import atexit
import signal
from typing import TYPE_CHECKING

import pytest

from truss_async.model.truss_server import before_the_end

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    def __init__(self, done: list[str]) -> None:
        self.done = done

    def handle_exit(self, *_: object) -> None: ...

    async def shutdown(self) -> None:
        self.done.append("drained")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server([])
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    yield server
    signal.signal(signal.SIGTERM, before)


def test_acts_are_done_once_each_after_the_drain_the_last_one_given_first(server: Server) -> None:
    def first() -> None:
        server.done.append("first")

    def second() -> None:
        server.done.append("second")
        raise OSError("the store is gone")

    for act in (first, second, first):
        before_the_end(act)
    try:
        with pytest.raises(OSError, match="the store is gone"):
            asyncio.run(server.shutdown())
    finally:
        atexit.unregister(first)
        atexit.unregister(second)
    assert server.done == ["drained", "second", "first"]
