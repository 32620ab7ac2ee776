"""What becomes of PostgreSQL's tables while requests pass: dead rows, sizes, and what is erased."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from tests.postgres_server import PostgresServer
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import InferenceRetryConfig, RequestStatus
from truss_async.harness.request_queue import AcceptedRequest, DeliveryAttempt, NewRequest
from truss_async.harness.request_queue.postgres import PostgresRequestQueue

DEPLOYMENT = "d1"
SCHEMA = "care"
WAVES, IN_A_WAVE, AT_ONCE = 8, 500, 50
SOON = 60
BODIES = ("model_inputs", "model_outputs")
OF_TABLES = """
SELECT relname, n_tup_ins, n_dead_tup, n_tup_upd, n_tup_hot_upd, pg_total_relation_size(relid)
FROM pg_stat_user_tables WHERE schemaname = 'care'
"""
OF_TOAST = """
SELECT coalesce(sum(n_dead_tup), 0), coalesce(sum(pg_relation_size(relid)), 0) FROM pg_stat_sys_tables
WHERE relid IN (SELECT reltoastrelid FROM pg_class WHERE oid IN ('care.model_inputs'::regclass, 'care.model_outputs'::regclass))
"""


@dataclass(frozen=True)
class Table:
    """What the server counted of a table; the size is in bytes, with its indexes and what is stored out of line."""

    came: int
    dead: int
    updated: int
    updated_in_place: int
    size: int


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Looks for what is to be vacuumed each second instead of each minute."""
    made = PostgresServer()
    try:
        made.start(autovacuum_naptime=1)
        yield made
    finally:
        made.remove()


@pytest.fixture
def tables(server: PostgresServer) -> Callable[[], dict[str, Table]]:
    server.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    return lambda: {name: Table(*map(int, numbers)) for name, *numbers in server.ask(OF_TABLES)}


@asynccontextmanager
async def opened(server: PostgresServer) -> AsyncIterator[PostgresRequestQueue]:
    """Until it is closed: then the server counts at once what was done, and not only when it finds the time."""
    queue = await PostgresRequestQueue.open(
        server.address, schema=SCHEMA, now=SYSTEM_CLOCK.now(), lease_seconds=60
    )
    try:
        yield queue
    finally:
        await queue.close()


async def enqueue(queue: PostgresRequestQueue, request_id: str, model_input: bytes) -> None:
    now = SYSTEM_CLOCK.now()
    accepted = AcceptedRequest("m1", None, "https://example.com/hook", InferenceRetryConfig())
    await queue.enqueue(
        NewRequest(request_id, DEPLOYMENT, accepted, model_input, 0, now, now + timedelta(hours=1))
    )


async def run_and_deliver(queue: PostgresRequestQueue, request_id: str) -> None:
    now = SYSTEM_CLOCK.now()
    assert await queue.finish(
        request_id, RequestStatus.SUCCEEDED, attempts=1, data=b'"output"', errors=[], now=now, is_claimed=True
    )
    sent = DeliveryAttempt(now, 1.0, 200, None)
    assert await queue.finish_delivery(request_id, sent, is_delivered=True, now=now)


async def pass_through(server: PostgresServer, wave: int) -> None:
    """So many requests come, are run and delivered; those of the waves before are forgotten."""
    ids = [f"{wave}-{number}" for number in range(IN_A_WAVE)]
    bodies = [secrets.token_hex(20_000 if number % AT_ONCE == 0 else 500) for number in range(IN_A_WAVE)]
    began = SYSTEM_CLOCK.now()
    async with opened(server) as queue:
        await asyncio.gather(
            *(enqueue(queue, *each) for each in zip(ids, map(str.encode, bodies), strict=True))
        )
        while claimed := await queue.claim(DEPLOYMENT, limit=AT_ONCE, now=SYSTEM_CLOCK.now()):
            await asyncio.gather(*(run_and_deliver(queue, each.request_id) for each in claimed))
        while await queue.forget(over_before=began):
            pass


def wait_until(holds: Callable[[], object], *, what: str) -> None:
    deadline = SYSTEM_CLOCK.monotonic() + SOON
    while not holds():
        assert SYSTEM_CLOCK.monotonic() < deadline, what
        SYSTEM_CLOCK.block(0.05)


def test_tables_stay_as_small_as_what_is_in_them_however_many_requests_pass(
    server: PostgresServer, tables: Callable[[], dict[str, Table]]
) -> None:
    sizes: list[int] = []

    def is_vacuumed(wave: int) -> bool:
        found = tables()
        is_counted = found["requests"].came >= (wave + 1) * IN_A_WAVE
        return is_counted and not any(found[name].dead for name in BODIES) and not server.ask(OF_TOAST)[0][0]

    for wave in range(WAVES):
        asyncio.run(pass_through(server, wave))
        wait_until(partial(is_vacuumed, wave), what="dead rows are left")
        sizes.append(sum(table.size for table in tables().values()))
    found = tables()
    print(sizes, found)  # shown when it fails
    settled = sizes[len(sizes) // 2 - 1]
    assert max(sizes[len(sizes) // 2 :]) <= 1.5 * settled
    assert [found[name].size for name in BODIES] == [pytest.approx(0, abs=300_000)] * 2
    assert server.ask(OF_TOAST)[0][1] < 1_000_000  # of 3 MB that passed
    # A table of its own threshold, for nothing in it is secret: 1 % and a thousand.
    assert found["requests"].dead <= 1_000 + 2 * IN_A_WAVE
    # Rows that are updated again and again leave nothing behind in the indexes.
    counts = found["counts"]
    assert counts.updated_in_place >= 0.9 * counts.updated > 0
    assert counts.size < 500_000


def test_while_an_old_snapshot_is_held_open_requests_pass_and_what_is_erased_goes_after_it(
    server: PostgresServer, tables: Callable[[], dict[str, Table]]
) -> None:
    asyncio.run(pass_through(server, 0))
    with psycopg.connect(server.address) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM pg_class")
        for wave in (1, 2):
            asyncio.run(pass_through(server, wave))
        wait_until(lambda: tables()["requests"].came == 3 * IN_A_WAVE, what="not all are counted")
        assert tables()["model_inputs"].dead >= 2 * IN_A_WAVE
    wait_until(lambda: not any(tables()[name].dead for name in BODIES), what="dead rows are left")


def test_an_erased_input_is_gone_from_the_tables_and_from_their_files(
    server: PostgresServer, tables: Callable[[], dict[str, Table]]
) -> None:
    short, long = secrets.token_urlsafe(60).encode(), secrets.token_urlsafe(50_000).encode()
    # Of the long one a part that lies in one piece, whatever page it is on.
    needles = {"short": short, "long": long[:40]}

    def found() -> set[str]:
        server.ask("CHECKPOINT")
        files = [file.read_bytes() for file in (server.folder / "data" / "base").rglob("*") if file.is_file()]
        return {name for name, needle in needles.items() if any(needle in held for held in files)}

    async def erase() -> None:
        async with opened(server) as queue:
            await enqueue(queue, "short", short)
            await enqueue(queue, "long", long)
            assert found() == {"short", "long"}
            for each in await queue.claim(DEPLOYMENT, limit=2, now=SYSTEM_CLOCK.now()):
                await run_and_deliver(queue, each.request_id)

    asyncio.run(erase())
    wait_until(lambda: not found(), what="its bytes are in a file")
    assert server.ask("SELECT count(*) FROM care.model_inputs") == [(0,)]
