"""A real PostgreSQL server for the tests: one for each process that runs tests."""

from __future__ import annotations

import atexit
import functools

from truss_async.demo.postgres_server import PostgresServer

__all__ = ["PostgresServer", "postgres_server"]


@functools.cache
def postgres_server() -> PostgresServer:
    """The server of this process, running."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server
