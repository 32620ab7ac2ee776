"""Connections to a model server that are kept between calls: one that it has closed is not used again."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest
import uvloop

from truss_async.replicas.http_calls import HttpCalls
from truss_async.replicas.protocol import ReplicaCall

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def hang_up(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def say_more(connection: socket.socket) -> None:
    """As an answer that was longer than it said."""
    connection.sendall(b"more")
    connection.close()


@pytest.mark.parametrize("end", [hang_up, reset, say_more])
def test_a_connection_that_was_closed_in_that_moment_is_not_used(
    end: Callable[[socket.socket], None],
) -> None:
    async def serve(server: socket.socket, answered: asyncio.Queue[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(server)
            connection.setblocking(False)
            while not (await loop.sock_recv(connection, 65536)).endswith(b"1"):
                pass
            await loop.sock_sendall(connection, ANSWER)
            answered.put_nowait(connection)

    async def main() -> None:
        calls, answered = HttpCalls(), asyncio.Queue[socket.socket]()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            serving = asyncio.create_task(serve(server, answered))
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            for _ in range(50):
                answer = await calls.send(ReplicaCall((), b"1"), predict_url=url, base_url=url)
                assert await answer.read() == b"{}"
                end(await answered.get())  # and at once the next call
            serving.cancel()
        await calls.close()

    uvloop.run(main())
