"""A real PostgreSQL server for the tests: one for each process that runs tests."""

from __future__ import annotations

import atexit
import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from truss_async.demo.postgres_server import PostgresServer

__all__ = ["PostgresServer", "postgres_server", "reachable_by_any_name"]


@functools.cache
def postgres_server() -> PostgresServer:
    """The server of this process, running."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server


@contextmanager
def reachable_by_any_name(**settings: object) -> Iterator[tuple[PostgresServer, dict[str, str]]]:
    """A server of its own, and the variables with which each client of PostgreSQL takes it for the host that is named."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = PostgresServer(port=port)
    try:
        server.start(**settings)
        yield server, {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(port)}
    finally:
        server.remove()
