"""A TCP proxy that is as slow as a distant server. ``python -m benchmarks.slow_link HOST:PORT RTT_MS MB_PER_SECOND``.

Each connection has the full rate to itself, in each direction, as connections to an object store have.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop

CHUNK_BYTES = 128 * 1024
MEGABYTE = 1_000_000


class Link:
    """One direction of one connection: bytes go in no faster than the rate, and come out after the delay."""

    def __init__(self, *, delay_seconds: float, bytes_per_second: float) -> None:
        self._delay = delay_seconds
        self._rate = bytes_per_second
        self._under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the sender has no more."""
        delivering = asyncio.create_task(self._deliver(writer))
        try:
            await self._take(reader)
            await delivering
        except ConnectionError:
            pass
        finally:
            delivering.cancel()
            writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        now = asyncio.get_running_loop().time
        free_at = now()
        while True:
            content = await reader.read(CHUNK_BYTES)
            free_at = max(free_at, now()) + len(content) / self._rate
            self._under_way.put_nowait((free_at + self._delay, content))
            if not content:
                return
            await asyncio.sleep(free_at - now())

    async def _deliver(self, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due_at, content = await self._under_way.get()
            await asyncio.sleep(max(0.0, due_at - now()))
            if not content:
                return
            writer.write(content)
            await writer.drain()


async def serve(host: str, port: int, *, round_trip_seconds: float, bytes_per_second: float) -> None:
    """Serve on a free port, and say which on stdout."""

    def link() -> Link:
        return Link(delay_seconds=round_trip_seconds / 2, bytes_per_second=bytes_per_second)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(round_trip_seconds)  # the handshake
        far_reader, far_writer = await asyncio.open_connection(host, port, limit=4 * CHUNK_BYTES)
        await asyncio.gather(link().carry(reader, far_writer), link().carry(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4 * CHUNK_BYTES)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def slow_link(place: str, *, round_trip_ms: float, megabytes_per_second: float) -> Iterator[str]:
    """The URL of such a proxy for the server at ``HOST:PORT``, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.slow_link",
        place,
        str(round_trip_ms),
        str(megabytes_per_second),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield line.removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.wait(30)


def main(place: str, round_trip_ms: str, megabytes: str) -> None:
    """Run until it is ended."""
    host, _, port = place.partition(":")
    rates = {
        "round_trip_seconds": float(round_trip_ms) / 1000,
        "bytes_per_second": float(megabytes) * MEGABYTE,
    }
    uvloop.run(serve(host, int(port), **rates))


if __name__ == "__main__":
    main(*sys.argv[1:])
