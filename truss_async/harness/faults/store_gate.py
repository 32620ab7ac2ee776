"""A way to one S3 or GCS endpoint that can be shut for the objects of a request: a proxy on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ...contract.faults import FaultKind

_LIMIT: Final = 2**18
_PART: Final = 2**16
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect:", re.IGNORECASE)
_BROKEN_OFF: Final = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a kind of store names an object, in the path or at the beginning of the body, and says that it is forbidden."""

    is_named_in_body: bool
    content_type: bytes
    forbidden: bytes


DIALECTS: Final = {
    "s3": Dialect(
        is_named_in_body=False,
        content_type=b"application/xml",
        forbidden=b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>AccessDenied</Code><Message>Access Denied (fault: store_forbidden)</Message></Error>",
    ),
    "gs": Dialect(
        is_named_in_body=True,
        content_type=b"application/json",
        forbidden=b'{"error":{"code":403,"message":"Access denied (fault: store_forbidden).",'
        b'"errors":[{"message":"Access denied.","domain":"global","reason":"forbidden"}]}}',
    ),
}
"""By the scheme of a store; one that is not here cannot be struck by a fault."""


class StoreGate:
    """Passes every byte on, in both directions, save those of requests that ``shut`` names.

    A request to the store belongs to a request of the harness when it names an object with its request id; ``shut``
    says for which request ids the store is unreachable, or forbidden. The Host header is passed on as the caller
    signed it.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        dialect: Dialect,
        shut: Mapping[str, FaultKind],
        on_outage: Callable[[str], None],
    ) -> None:
        """``on_outage`` is told, once until it is over, when nothing answers there."""
        self._host = host
        self._port = port
        self._dialect = dialect
        self._shut = shut
        self._on_outage = on_outage
        self._is_out = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listen on a free port of 127.0.0.1; return it."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_LIMIT)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Break off what is open. Harmless when done twice."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                store_reader, store = await asyncio.open_connection(self._host, self._port, limit=_LIMIT)
            except OSError as error:
                if not self._is_out:
                    self._is_out = True
                    self._on_outage(error.strerror or str(error))
                return
            self._is_out = False
            with contextlib.closing(store):
                asking = asyncio.ensure_future(self._pass_requests(reader, writer, store))
                answering = asyncio.ensure_future(_pump(store_reader, writer))
                try:
                    await asyncio.wait((asking, answering), return_when=asyncio.FIRST_COMPLETED)
                    if asking.done() and asking.result():
                        await answering
                finally:
                    for work in (asking, answering):
                        work.cancel()
                    await asyncio.gather(asking, answering, return_exceptions=True)

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store: asyncio.StreamWriter
    ) -> bool:
        """Until the caller has no more: True. Until one is struck by a fault, or the connection breaks off: False."""
        with contextlib.suppress(*_BROKEN_OFF):
            while head := await _next_head(reader):
                async with contextlib.aclosing(_body(head, reader)) as body:
                    begin = head
                    if self._shut and self._dialect.is_named_in_body and not _EXPECT.search(head):
                        begin += await anext(body, b"")
                    if (fault := self._fault_of(begin)) is not None:
                        if fault is FaultKind.STORE_FORBIDDEN:
                            await self._forbid(head, body, writer)
                        return False
                    store.write(begin)
                    async for part in body:
                        store.write(part)
                        await store.drain()
                    await store.drain()
            store.write_eof()
            return True
        return False

    def _fault_of(self, begin: bytes) -> FaultKind | None:
        if not self._dialect.is_named_in_body:
            begin = begin.partition(b"\r\n")[0]
        return next((kind for request_id, kind in self._shut.items() if request_id.encode() in begin), None)

    async def _forbid(
        self, head: bytes, body: AsyncGenerator[bytes, None], writer: asyncio.StreamWriter
    ) -> None:
        if not _EXPECT.search(head):  # who expects leave to send has sent nothing yet
            async for _ in body:
                pass
        writer.write(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % (self._dialect.content_type, len(self._dialect.forbidden))
        )
        if not head.startswith(b"HEAD "):
            writer.write(self._dialect.forbidden)
        await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(*_BROKEN_OFF):
        while part := await reader.read(_PART):
            writer.write(part)
            await writer.drain()


async def _next_head(reader: asyncio.StreamReader) -> bytes:
    """The request line and the headers of the next request; nothing when there is none."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


async def _body(head: bytes, reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The body that belongs to the head, part by part, as it is on the wire."""
    if _CHUNKED.search(head) is None:
        declared = _LENGTH.search(head)
        async for part in _parts(reader, 0 if declared is None else int(declared[1])):
            yield part
        return
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        yield line
        size = int(line.partition(b";")[0], 16)
        async for part in _parts(reader, size + 2 if size else 0):
            yield part
    while line != b"\r\n":  # trailers, up to an empty line
        line = await reader.readuntil(b"\r\n")
        yield line


async def _parts(reader: asyncio.StreamReader, size: int) -> AsyncGenerator[bytes, None]:
    while size:
        part = await reader.read(min(size, _PART))
        if not part:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(part)
        yield part
