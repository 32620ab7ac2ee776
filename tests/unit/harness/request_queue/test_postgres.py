"""What is PostgreSQL's own: answers that are missed, and what is shared beside the queue."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.harness.request_queue.conftest import START
from tests.unit.harness.request_queue.driver import QueueDriver
from tests.unit.harness.request_queue.storages import PostgresStorage
from truss_async.contract import RequestStatus
from truss_async.harness.request_queue import RequestQueueError, postgres
from truss_async.harness.request_queue.nodes import Node, NodeReplicas
from truss_async.harness.request_queue.postgres import PostgresDocument, PostgresNodes, PostgresRequestQueue
from truss_async.harness.request_queue.postgres.schema import SCHEMA_VERSION, bring_up_to_date
from truss_async.harness.request_queue.queries import queries


@pytest.fixture
def shared() -> PostgresStorage:
    return PostgresStorage()


@pytest.fixture
def queue(shared: PostgresStorage) -> Iterator[QueueDriver]:
    with QueueDriver(shared, now=START, lease_seconds=15) as driver:
        yield driver


@pytest.fixture
def misses(queue: QueueDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Of each statement that is named here, the next answer is missed: it takes effect, and the connection breaks."""
    names: list[str] = []
    database = queue.queue._database  # type: ignore[attr-defined]
    run = database.run

    async def run_and_miss(name: str, parameters: Any) -> Any:
        rows = await run(name, parameters)
        if name in names:
            names.remove(name)
            raise RequestQueueError("the connection broke")
        return rows

    monkeypatch.setattr(database, "run", run_and_miss)
    yield names
    assert not names


def test_what_a_missed_answer_granted_is_found_at_the_next_look(
    queue: QueueDriver, misses: list[str]
) -> None:
    queue.enqueue("known")
    assert queue.claim() == ["known"]
    queue.enqueue("a")
    misses.append("claim")
    with pytest.raises(RequestQueueError):
        queue.claim()
    assert queue.claim() == []
    assert queue.take_over() == ["a"]  # and not what is known
    assert queue.take_over() == []
    assert queue.finish("a")


def test_a_delivery_that_a_missed_answer_granted_is_due_again(queue: QueueDriver, misses: list[str]) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a")
    misses.append("claim_deliveries")
    with pytest.raises(RequestQueueError):
        queue.claim_deliveries()
    assert queue.claim_deliveries() == []
    assert queue.run(lambda q: q.release_deliveries(now=queue.now)) == 1
    assert [due.request_id for due in queue.claim_deliveries()] == ["a"]
    assert queue.deliver("a")


def test_a_finish_whose_answer_was_missed_is_ones_own_to_deliver_when_it_is_repeated(
    queue: QueueDriver, misses: list[str]
) -> None:
    queue.enqueue("a")
    queue.claim()
    misses.append("finish")
    with pytest.raises(RequestQueueError):
        queue.finish("a", is_claimed=True)
    assert queue.finish("a", is_claimed=True)
    assert not queue.finish("a", is_claimed=True)
    assert queue.deliver("a")


def test_what_is_finished_while_missed_deliveries_are_looked_for_is_not_taken_for_one(
    queue: QueueDriver, misses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("missed", "finished"):
        queue.enqueue(name)
        queue.claim()
    queue.finish("missed")
    misses.append("claim_deliveries")
    with pytest.raises(RequestQueueError):
        queue.claim_deliveries()
    database = queue.queue._database  # type: ignore[attr-defined]
    run, asked = database.run, []

    async def run_and_finish_meanwhile(name: str, parameters: Any) -> Any:
        asked.append(name)
        if name == "release_deliveries":
            finishing.append(asyncio.ensure_future(finish()))
            await asyncio.sleep(0)
            if "finish" in asked:  # it does not wait for its turn
                await finishing[0]
        return await run(name, parameters)

    async def finish() -> bool:
        return await queue.queue.finish(
            "finished",
            RequestStatus.SUCCEEDED,
            attempts=1,
            data=b"1",
            errors=[],
            now=queue.now,
            is_claimed=True,
        )

    async def look() -> int:
        released = await queue.queue.release_deliveries(now=queue.now)
        assert await finishing[0]
        return released

    finishing: list[asyncio.Future[bool]] = []
    monkeypatch.setattr(database, "run", run_and_finish_meanwhile)
    assert queue.run(lambda _: look()) == 1
    assert [due.request_id for due in queue.claim_deliveries()] == ["missed"]


def test_a_statement_whose_connection_was_cut_fails_in_one_line_though_another_gets_through_meanwhile(
    queue: QueueDriver, shared: PostgresStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = queue.queue._database  # type: ignore[attr-defined]
    check = database._pool.check

    async def check_after_another() -> None:
        assert len(await database.run("time", {})) == 1
        await check()

    monkeypatch.setattr(database._pool, "check", check_after_another)
    shared.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'truss-async'"
    )
    with pytest.raises(RequestQueueError, match="cannot use the request queue"):
        queue.run(lambda _: database.run("time", {}))


def test_a_document_is_what_whoever_changed_it_last_made_of_it(shared: PostgresStorage) -> None:
    one, other = (PostgresDocument(shared.address, shared.schema, "secrets") for _ in range(2))
    assert one.read() is None
    assert one.change(lambda before: (before or b"") + b"1") == b"1"
    assert other.change(lambda before: (before or b"") + b"2") == b"12"
    assert one.read() == b"12"
    assert "the document secrets in the schema queue" in str(one)


def test_tables_of_a_newer_version_are_refused(shared: PostgresStorage) -> None:
    shared.execute("UPDATE version SET number = 99")
    try:
        with pytest.raises(RequestQueueError, match="written by a newer version of truss-async"):
            QueueDriver(shared, now=START)
    finally:
        shared.execute(f"UPDATE version SET number = {SCHEMA_VERSION}")  # noqa: S608 - a number of ours


def test_who_owns_the_schema_needs_no_other_right(shared: PostgresStorage) -> None:
    shared.execute(
        "DROP SCHEMA IF EXISTS owned",
        "DROP ROLE IF EXISTS owner",
        "CREATE ROLE owner LOGIN",
        "CREATE SCHEMA owned AUTHORIZATION owner",
    )
    try:
        asyncio.run(bring_up_to_date(shared.address.replace("postgres@", "owner@"), "owned"))
        assert shared.execute("SELECT number FROM owned.version") == [(SCHEMA_VERSION,)]
    finally:
        shared.execute("DROP SCHEMA owned CASCADE", "DROP ROLE owner")


def test_tables_of_an_older_version_are_brought_up_to_date(shared: PostgresStorage) -> None:
    first = queries(postgres.__name__)["schema_1"]
    shared.execute(
        "DROP SCHEMA IF EXISTS older CASCADE",
        "CREATE SCHEMA older",
        "SET search_path TO older",
        first,
        "CREATE TABLE version (number integer NOT NULL)",
        "INSERT INTO version VALUES (1)",
        f"SET search_path TO {shared.schema}",
    )
    for _ in range(2):
        asyncio.run(bring_up_to_date(shared.address, "older"))
        columns = shared.execute(
            "SELECT column_name FROM information_schema.columns WHERE (table_schema, table_name) = ('older', 'owners')"
        )
        assert {"number", "lease_ends_at", "url", "replicas"} == {name for (name,) in columns}
        assert shared.execute("SELECT number FROM older.version") == [(SCHEMA_VERSION,)]


def test_a_node_is_known_from_its_first_renewal_until_its_lease_ends(queue: QueueDriver) -> None:
    def known() -> list[Node]:
        return queue.run(lambda q: nodes_of(q).all())

    def renew() -> None:
        queue.run(lambda q: q.renew(now=queue.now))

    renew()
    assert known() == []
    replicas = {"/model/m/deployment/m1": NodeReplicas(2, "starting")}
    nodes_of(queue.queue).own = lambda: Node("http://here:1", dict(replicas))
    renew()
    me = Node("http://here:1", dict(replicas))
    assert known() == [me]
    replicas["/model/m/deployment/m1"] = NodeReplicas(2, "ready")
    queue.run(lambda q: nodes_of(q).tell())
    me = Node("http://here:1", dict(replicas))
    assert known() == [me]
    queue.now += timedelta(seconds=16)
    assert known() == []
    queue.another().take_over()  # which ends the lease that is late
    renew()
    assert known() == [me]
    queue.run(lambda q: q.give_back())
    assert known() == []


def nodes_of(queue: Any) -> PostgresNodes:
    assert isinstance(queue, PostgresRequestQueue)
    return queue.nodes
