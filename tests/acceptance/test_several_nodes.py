"""Two ``serve`` on one PostgreSQL database: one is killed, and the database itself restarts. Nothing accepted is lost."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.serving import Served
from tests.integration.harness.model_server import Answer, ModelServer, echo
from tests.postgres_server import PostgresServer
from truss_async.client import PlatformClient
from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import ApiError
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_" + "Q7w" * 12
REQUESTS = 200
CALLS = 60
SLOTS = 4
LEASE_SECONDS = 2
DEADLINE_SECONDS = 60
ENDED_WELL = ("SUCCEEDED", "SUCCEEDED")


class Rationed:
    """A model that answers so many requests, and holds those after them until it is let go. Knows when each began."""

    def __init__(self, answers: int) -> None:
        self._left = answers
        self._changed = threading.Condition()
        self.held = 0
        self.began: list[tuple[int, float]] = []

    def __call__(self, model_input: Any) -> Answer:
        with self._changed:
            self.began.append((model_input, SYSTEM_CLOCK.now().timestamp()))
            self._left -= 1
            if self._left < 0:
                self.held += 1
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: self.held == 0, DEADLINE_SECONDS)
        return echo(model_input)

    def wait_until_held(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.held >= count, DEADLINE_SECONDS)

    def let_go(self) -> None:
        """Hold nothing any more."""
        with self._changed:
            self._left, self.held = 10**9, 0
            self._changed.notify_all()


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A server of this test's own, for it is restarted."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


def node(model: ModelServer, database: PostgresServer, cwd: Path, *options: str) -> Served:
    what = ("--model-url", model.url, "--model-id", "m", "--predict-concurrency", str(SLOTS))
    how = ("--port", "0", "--limits", "none", "--quiet", "--webhook-secret", SECRET)
    return Served(*what, *how, "--state", database.address, *options, cwd=cwd)


def submit(client: PlatformClient, number: int, receiver: WebhookReceiver) -> str:
    return client.submit(model_input=number, webhook_endpoint=receiver.url).request_id


def ends(client: PlatformClient, ids: Sequence[str]) -> Counter[tuple[str, str]]:
    found = (client.wait(request_id, timeout_seconds=DEADLINE_SECONDS) for request_id in ids)
    return Counter((each.status.value, each.webhook_status.value) for each in found)


def test_what_a_killed_node_worked_on_the_other_ends_after_its_lease_and_nothing_else_twice(
    tmp_path: Path, database: PostgresServer
) -> None:
    dying, living = Rationed(REQUESTS // 4), Rationed(REQUESTS // 4)
    options = ("--lease-seconds", str(LEASE_SECONDS))
    with ExitStack() as stack:
        one_model, other_model = (stack.enter_context(ModelServer(each)) for each in (dying, living))
        receiver = stack.enter_context(WebhookReceiver(secrets=[SECRET]))
        one = stack.enter_context(node(one_model, database, tmp_path, *options))
        other = stack.enter_context(node(other_model, database, tmp_path, *options))
        clients = [stack.enter_context(PlatformClient(each.url, api_key="k")) for each in (one, other)]
        ids = [submit(clients[number % 2], number, receiver) for number in range(REQUESTS)]
        dying.wait_until_held(SLOTS)
        living.wait_until_held(SLOTS)  # both work, and half of the requests still wait

        assert one.stop(signal.SIGKILL) == -signal.SIGKILL
        in_flight = in_progress(database, of_inputs=dying.began[-SLOTS:], ids=ids)
        assert len(in_flight) == SLOTS
        lease_ends_at = first_lease_end(database)
        dying.let_go()
        living.let_go()
        assert ends(clients[1], ids) == {ENDED_WELL: REQUESTS}
        delivered = Counter(each.request_id for each in receiver.deliveries)

    assert set(delivered) == set(ids)
    assert all(each.accepted for each in receiver.deliveries)
    inferred = Counter(number for number, _ in (*dying.began, *living.began))
    assert set(inferred) == set(range(REQUESTS))
    assert {ids[number] for number, times in inferred.items() if times > 1} == in_flight
    assert max(inferred.values()) == 2
    again = [at for number, at in living.began if ids[number] in in_flight]
    assert min(again) >= lease_ends_at  # never by two nodes within a lease
    print(f"again {min(again) - lease_ends_at:.2f} to {max(again) - lease_ends_at:.2f} s after the lease")
    print("webhooks twice:", delivered.total() - REQUESTS)


def test_sync_calls_through_a_gateway_are_all_answered_though_a_node_is_killed(
    tmp_path: Path, database: PostgresServer
) -> None:
    dying, living = Rationed(CALLS // 4), Rationed(CALLS)
    with ExitStack() as stack:
        one_model, other_model = (stack.enter_context(ModelServer(each)) for each in (dying, living))
        gateway = stack.enter_context(node(other_model, database, tmp_path, "--replicas", "0"))
        one = stack.enter_context(node(one_model, database, tmp_path))
        client = stack.enter_context(PlatformClient(gateway.url, api_key="k"))
        answered_again(client)
        stack.enter_context(node(other_model, database, tmp_path))
        threads = stack.enter_context(ThreadPoolExecutor(2 * SLOTS))
        calls = [threads.submit(client.predict, number) for number in range(CALLS)]
        dying.wait_until_held(SLOTS)
        assert gateway.descendants() == []

        assert one.stop(signal.SIGKILL) == -signal.SIGKILL
        answers = [each.result(DEADLINE_SECONDS) for each in calls]
        held = {number for number, _ in dying.began[-SLOTS:]}
        dying.let_go()
    assert answers == [{"echo": number} for number in range(CALLS)]
    assert held <= {number for number, _ in living.began}


def in_progress(
    database: PostgresServer, *, of_inputs: Sequence[tuple[int, float]], ids: Sequence[str]
) -> set[str]:
    """Those of these that the database has in progress."""
    asked = [ids[number] for number, _ in of_inputs]
    with psycopg.connect(database.address) as connection:
        query = "SELECT request_id FROM truss_async.requests WHERE status = 'IN_PROGRESS' AND request_id = ANY (%s)"
        return {row[0] for row in connection.execute(query, [asked])}


def first_lease_end(database: PostgresServer) -> float:
    """When the lease of the node that was started first ends, in seconds since 1970; it is not renewed any more."""
    with psycopg.connect(database.address) as connection:
        row = connection.execute(
            "SELECT lease_ends_at FROM truss_async.owners ORDER BY number LIMIT 1"
        ).fetchone()
    assert row is not None
    return float(row[0]) / 1_000_000


def test_a_database_that_restarts_is_503_and_loses_nothing_that_was_accepted(
    tmp_path: Path, database: PostgresServer
) -> None:
    models = [Rationed(10), Rationed(10)]
    options = (
        "--lease-seconds",
        str(DEADLINE_SECONDS),
    )  # none is lost meanwhile, so that nothing happens twice
    with ExitStack() as stack:
        servers = [stack.enter_context(ModelServer(each)) for each in models]
        receiver = stack.enter_context(WebhookReceiver(secrets=[SECRET]))
        nodes = [stack.enter_context(node(each, database, tmp_path, *options)) for each in servers]
        clients = [stack.enter_context(PlatformClient(each.url, api_key="k")) for each in nodes]
        ids = [submit(clients[number % 2], number, receiver) for number in range(REQUESTS)]
        for model in models:
            model.wait_until_held(SLOTS)

        database.stop()
        with ThreadPoolExecutor(len(clients)) as threads:
            for refusal in threads.map(refused_submit, clients):
                assert refusal.status_code == 503
                assert "cannot use the request queue" in str(refusal)
        for model in models:
            model.let_go()  # what they answer now has to be kept until the database is there again
        database.start()

        ids += [accepted_again(client, REQUESTS + number, receiver) for number, client in enumerate(clients)]
        assert ends(clients[0], ids) == {ENDED_WELL: REQUESTS + 2}
        assert ends(clients[1], ids) == {ENDED_WELL: REQUESTS + 2}
        delivered = Counter(each.request_id for each in receiver.deliveries)
        for each in nodes:
            assert each.stderr.count("until the database is back, calls are answered 503") == 1
            assert each.stderr.count("the database is back\n") == 1
            assert "pool-" not in each.stderr  # the library's own word for it
    assert set(delivered) == set(ids)
    assert Counter(number for model in models for number, _ in model.began) == Counter(range(REQUESTS + 2))
    print("webhooks twice:", delivered.total() - len(delivered))


def refused_submit(client: PlatformClient) -> ApiError:
    """How a request is refused."""
    with pytest.raises(ApiError) as refused:
        client.submit(model_input=-1)
    return refused.value


def answered_again(client: PlatformClient) -> None:
    """Wait until a sync call is answered."""
    deadline = SYSTEM_CLOCK.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            client.predict(-1)
        except ApiError:
            assert SYSTEM_CLOCK.monotonic() < deadline
            SYSTEM_CLOCK.block(0.1)
        else:
            return


def accepted_again(client: PlatformClient, number: int, receiver: WebhookReceiver) -> str:
    """The id of a request, as soon as one is accepted."""
    deadline = SYSTEM_CLOCK.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return submit(client, number, receiver)
        except ApiError:
            assert SYSTEM_CLOCK.monotonic() < deadline
            SYSTEM_CLOCK.block(0.1)
