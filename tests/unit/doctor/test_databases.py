"""A database for several harnesses, as it should be, and as it should not; on a real server that is safe from crashes."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.postgres_server import PostgresServer
from truss_async.clock import SYSTEM_CLOCK, Clock, ManualClock
from truss_async.doctor import Finding
from truss_async.doctor.databases import database
from truss_async.harness.harness import Harness
from truss_async.harness.request_queue.postgres.schema import SCHEMA_VERSION, bring_up_to_date
from truss_async.harness.settings import HarnessSettings

_names = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start(fsync="on", full_page_writes="on")
        yield server
    finally:
        server.remove()


@pytest.fixture
def schema() -> str:
    """The name of one that is not there."""
    return f"examined_{next(_names)}"


def run(server: PostgresServer, *statements: str) -> None:
    with psycopg.connect(server.address, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def set_version(server: PostgresServer, schema: str, number: int) -> None:
    with psycopg.connect(server.address) as connection:
        statement = sql.SQL("UPDATE {} SET number = %s").format(sql.Identifier(schema, "version"))
        connection.execute(statement, [number])


def limited(server: PostgresServer) -> tuple[str, str]:
    """A role that may connect, and nothing else; and its address."""
    role = f"limited_{next(_names)}"
    run(server, f"CREATE ROLE {role} LOGIN")
    return role, server.address.replace("postgres@", f"{role}@")


def look(address: str, schema: str, clock: Clock = SYSTEM_CLOCK) -> list[Finding]:
    return list(database(address, schema=schema, clock=clock))


def bad(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.outcome != "ok"]


def test_one_that_a_harness_has_used_is_well(server: PostgresServer, schema: str) -> None:
    asyncio.run(bring_up_to_date(server.address, schema))
    found = look(server.address, schema)
    assert bad(found) == []
    texts = [each.found for each in found]
    assert texts[0].startswith(f"connected to the database postgres on {server.folder} in ")
    assert texts[1].startswith("PostgreSQL 18")
    assert texts[2:5] == [
        f"schema {schema} has version {SCHEMA_VERSION}",
        "postgres may read and write the tables",
        "synchronous_commit = on, fsync = on, full_page_writes = on",
    ]
    assert texts[5].endswith("the database's")


def test_one_that_is_new_is_well_for_who_may_make_a_schema(server: PostgresServer, schema: str) -> None:
    found = look(server.address, schema)
    assert bad(found) == []
    assert [each.found for each in found[2:4]] == [
        f"no schema {schema} yet; the first `serve` makes it",
        "postgres may create it",
    ]
    role, address = limited(server)
    (refused,) = bad(look(address, schema))
    assert (refused.outcome, refused.found) == ("failed", f"{role} must not create it")
    run(server, refused.remedy.removeprefix("as an administrator: "))
    assert bad(look(address, schema)) == []
    asyncio.run(bring_up_to_date(address, schema))
    assert bad(look(address, schema)) == []


def test_rights_that_are_missing_are_named_as_they_are_granted(server: PostgresServer, schema: str) -> None:
    asyncio.run(bring_up_to_date(server.address, schema))
    role, address = limited(server)
    (refused,) = bad(look(address, schema))
    assert refused.found == f"{role} must not use the schema {schema} of postgres"
    use, read_and_write = refused.remedy.split("; ")
    run(server, use)
    (refused,) = bad(look(address, schema))
    assert refused.found == f"{role} must not read the tables of postgres in {schema}"
    run(server, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
    (refused,) = bad(look(address, schema))
    assert refused.found.startswith(f"{role} lacks rights on call_rates, counts, deliveries, ")
    assert refused.remedy.endswith(read_and_write)
    run(server, read_and_write)
    assert bad(look(address, schema)) == []


def test_another_version_is_told_with_what_becomes_of_it(server: PostgresServer, schema: str) -> None:
    asyncio.run(bring_up_to_date(server.address, schema))
    set_version(server, schema, 99)
    newer = bad(look(server.address, schema))[0]
    assert (newer.outcome, newer.remedy) == (
        "failed",
        "upgrade truss-async here, or choose another --schema",
    )
    set_version(server, schema, 1)
    (older,) = bad(look(server.address, schema))
    assert (older.outcome, older.found) == (
        "note",
        f"schema {schema} has version 1; the next `serve` brings it to version {SCHEMA_VERSION}, which older ones refuse",
    )
    role, address = limited(server)
    run(
        server,
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON {schema}.version TO {role}",
    )
    _, refused = bad(look(address, schema))
    assert refused.remedy == "run the first `serve` as postgres"


def test_what_a_crash_of_the_server_would_lose_is_told(server: PostgresServer, schema: str) -> None:
    (noted,) = bad(look(f"{server.address}&options=-csynchronous_commit%3Doff", schema))
    assert noted.outcome == "note"
    assert noted.found.startswith("synchronous_commit = off, fsync = on")


@pytest.mark.parametrize(("seconds", "outcome"), [(-100, "ok"), (200, "failed"), (-200, "failed")])
def test_the_clock_is_compared_with_the_databases(
    server: PostgresServer, schema: str, seconds: int, outcome: str
) -> None:
    clock = ManualClock(SYSTEM_CLOCK.now() + timedelta(seconds=seconds))
    finding = look(server.address, schema, clock)[-1]
    assert finding.outcome == outcome
    assert ("ahead of" if seconds > 0 else "behind") in finding.found


def test_each_node_is_called_where_the_others_call_it(server: PostgresServer, schema: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with ExitStack() as nodes:
        started: list[Harness] = []
        for node_url in (None, gone):
            values: dict[str, Any] = {"state": server.address, "state_schema": schema, "node_url": node_url}
            settings = HarnessSettings(stub="echo", model_id="m", port=0, **values)
            harness = Harness(settings, stories=False, report=lambda _: None, log=lambda _: None)
            started.append(nodes.enter_context(harness))
            wait_for_nodes(server, schema, len(started))
        unreachable, reachable = (each for each in look(server.address, schema) if each.check == "node")
        assert (reachable.outcome, reachable.found) == ("ok", f"{started[0].url} answers")
    assert unreachable.outcome == "failed"
    assert unreachable.found.startswith(f"{gone} does not answer: ")
    assert "--node-url" in unreachable.remedy


def wait_for_nodes(server: PostgresServer, schema: str, count: int) -> None:
    query = sql.SQL("SELECT number FROM {} WHERE url IS NOT NULL").format(sql.Identifier(schema, "owners"))
    deadline = SYSTEM_CLOCK.monotonic() + 30
    with psycopg.connect(server.address, autocommit=True) as connection:
        while len(connection.execute(query).fetchall()) < count:
            assert SYSTEM_CLOCK.monotonic() < deadline
            SYSTEM_CLOCK.block(0.05)


def test_one_that_cannot_be_reached_is_one_row(schema: str) -> None:
    (finding,) = look("postgresql://nobody@127.0.0.1:1/x", schema)
    assert finding.outcome == "failed"
    assert finding.found.startswith("cannot be used: connection failed: ")
    assert "PGPASSWORD" in finding.remedy
