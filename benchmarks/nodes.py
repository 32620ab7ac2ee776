"""Nodes on one PostgreSQL beside a harness on a file, and beside a bare endpoint, in the same run.

Each share is of the best of several rounds, taken in turns, as in ``harness``. The database waits for the disk, as one that
somebody keeps does; it, the nodes and the load share the machine. ``TRUSS_ASYNC_BENCH_QUEUED`` says how many requests wait
in the long queue.
"""

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg

from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import InferenceRetryConfig
from truss_async.demo.postgres_server import PostgresServer
from truss_async.harness.request_queue import AcceptedRequest, NewRequest
from truss_async.harness.request_queue.postgres import PostgresRequestQueue

from .harness import CONNECTIONS, REQUESTS, SUBMIT, best, body
from .load import Receiver, post_many
from .report import Figure
from .servers import SLOW_CONCURRENCY, SLOW_SECONDS, Server, started

NODES = 4
SLOW_REQUESTS = 400
QUEUED = int(os.environ.get("TRUSS_ASYNC_BENCH_QUEUED", "1000000"))
CLAIMS, CLAIMED_AT_ONCE = 100, 32
# As many as are asked for of the first one's kind.
MORE_REQUESTS = """
INSERT INTO requests (
  request_id, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at
)
SELECT md5('{0} ' || n), deployment_id, 'QUEUED', webhook_status, n % 3, request, created_at, expires_at, status_at
FROM requests, generate_series(1, {0}) AS n WHERE request_id = 'first'
"""
MORE_INPUTS = """
INSERT INTO model_inputs SELECT r.seq, body FROM requests AS r, model_inputs AS i
WHERE i.seq = 1 AND r.seq NOT IN (SELECT seq FROM model_inputs)
"""


async def post_to_all(nodes: list[Server], content: bytes, *, count: int) -> None:
    """So many requests in all, to each node as many as to the others."""
    await asyncio.gather(
        *(
            post_many(
                f"{node.url}/{SUBMIT}",
                content,
                count=count // len(nodes),
                connections=CONNECTIONS // len(nodes),
            )
            for node in nodes
        )
    )


def accepted(nodes: list[Server]) -> float:
    """Requests that are accepted a second, and no more."""
    begun = time.perf_counter()
    asyncio.run(post_to_all(nodes, body(), count=REQUESTS))
    return REQUESTS / (time.perf_counter() - begun)


def delivered(nodes: list[Server], *, count: int = REQUESTS) -> float:
    """Requests a second, from the first submission to the last webhook."""

    async def run() -> float:
        async with Receiver() as receiver:
            begun = time.perf_counter()
            await post_to_all(nodes, body(receiver.url), count=count)
            await receiver.wait_for(count, timeout_seconds=120)
            return count / (time.perf_counter() - begun)

    return asyncio.run(run())


class Database:
    """The database of nodes, and what it takes."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        self._process = psutil.Process(pid)

    def node(self, running: ExitStack, schema: str, model: str) -> Server:
        """One more, until the stack is left."""
        return running.enter_context(started("node", self._server.address, schema, model))

    def cpu_seconds(self) -> float:
        """The processor time that all its processes have taken so far, also those that have ended."""
        own = self._process.cpu_times()
        spent = own.user + own.system + own.children_user + own.children_system
        for each in self._process.children():
            times = each.cpu_times()
            spent += times.user + times.system
        return float(spent)


def shares(folder: Path, database: Database) -> list[Figure]:
    """What one node and two accept and deliver, as shares of a bare endpoint, beside a file."""
    processor: list[tuple[float, float]] = []
    with ExitStack() as running:
        bare = running.enter_context(started("bare"))
        file_accepts = running.enter_context(started("stuck harness", f"{folder}/accept", "full"))
        file_delivers = running.enter_context(started("harness", f"{folder}/deliver"))
        accepting = [[database.node(running, f"accept_{n}", "stuck") for _ in range(n)] for n in (1, 2)]
        delivering = [[database.node(running, f"deliver_{n}", "instant") for _ in range(n)] for n in (1, 2)]
        (one,) = delivering[0]

        def deliver_and_count() -> float:
            before = one.cpu_seconds(), database.cpu_seconds()
            per_second = delivered([one])
            after = one.cpu_seconds(), database.cpu_seconds()
            processor.append((after[0] - before[0], after[1] - before[1]))
            return per_second

        floor, *measured = best(
            lambda: accepted([bare]),
            lambda: accepted([file_accepts]),
            lambda: accepted(accepting[0]),
            lambda: accepted(accepting[1]),
            lambda: delivered([file_delivers]),
            deliver_and_count,
            lambda: delivered(delivering[1]),
        )
    names = [
        "accepted on a file, --durability full",
        "accepted on PostgreSQL, one node",
        "accepted on PostgreSQL, two nodes",
        "submit → webhook on a file",
        "submit → webhook on PostgreSQL, one node",
        "submit → webhook on PostgreSQL, two nodes",
    ]
    node_seconds, database_seconds = min(processor)
    return [
        Figure("bare endpoint, requests a second", floor),
        *(Figure(f"{name}, share", each / floor) for name, each in zip(names, measured, strict=True)),
        Figure("processor time a request in the node", node_seconds / REQUESTS * 1e6, "µs"),
        Figure("processor time a request in the database", database_seconds / REQUESTS * 1e6, "µs"),
    ]


def growth(database: Database) -> list[Figure]:
    """What more nodes add where the models are the limit, and not the machine."""
    with ExitStack() as running:
        nodes = [database.node(running, "slow", "slow")]
        (one,) = best(lambda: delivered(nodes, count=SLOW_REQUESTS))
        nodes += [database.node(running, "slow", "slow") for _ in range(NODES - 1)]
        (all_of_them,) = best(lambda: delivered(nodes, count=SLOW_REQUESTS))
    limit = SLOW_CONCURRENCY / SLOW_SECONDS
    return [
        Figure(f"one node whose model allows {limit:.0f} a second", one, "/s"),
        Figure(f"{NODES} such nodes, share of {NODES} times one", all_of_them / one / NODES, "", 0.9, 0.95),
    ]


def claims(server: PostgresServer) -> list[Figure]:
    """How fast a node claims where few wait, and where very many do."""

    async def run() -> tuple[float, float]:
        now = SYSTEM_CLOCK.now()
        queue = await PostgresRequestQueue.open(server.address, schema="claims", now=now, lease_seconds=60)
        accepted = AcceptedRequest("m", None, None, InferenceRetryConfig())
        expires_at = now + timedelta(hours=10)
        await queue.enqueue(NewRequest("first", "d", accepted, body(), 0, now, expires_at))
        try:
            few = await claimed_per_second(queue, server, CLAIMS * CLAIMED_AT_ONCE)
            many = await claimed_per_second(queue, server, QUEUED)
        finally:
            await queue.close()
        return few, many

    few, many = asyncio.run(run())
    return [
        Figure(f"claimed a second, {CLAIMED_AT_ONCE} at once", few),
        Figure(f"the same with {QUEUED:,} queued, share", many / few),
    ]


async def claimed_per_second(queue: PostgresRequestQueue, server: PostgresServer, queued: int) -> float:
    """With so many more in the queue."""
    with psycopg.connect(server.address, options="-c search_path=claims", autocommit=True) as connection:
        for statement in (MORE_REQUESTS.format(queued), MORE_INPUTS, "ANALYZE"):
            connection.execute(statement.encode())
    begun = time.perf_counter()
    for _ in range(CLAIMS):
        claimed = await queue.claim("d", limit=CLAIMED_AT_ONCE, now=SYSTEM_CLOCK.now())
        assert len(claimed) == CLAIMED_AT_ONCE
    return CLAIMS * CLAIMED_AT_ONCE / (time.perf_counter() - begun)


def measure() -> list[Figure]:
    """Every figure, one after the other."""
    server = PostgresServer()
    try:
        server.start(fsync="on", full_page_writes="on")
        database = Database(server)
        with tempfile.TemporaryDirectory() as name:
            return [*shares(Path(name), database), *growth(database), *claims(server)]
    finally:
        server.remove()
