"""What a request queue tells of many requests at once: pages, counts, ids that begin so, and what is over."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.unit.harness.request_queue.conftest import START
from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import STORAGES, SqliteStorage
from truss_async.contract import RequestStatus, WebhookStatus
from truss_async.harness.request_queue import EndedRequest, FoundRequest, RequestFilter, lists
from truss_async.harness.request_queue.schema import bring_up_to_date

MINUTE = timedelta(minutes=1)
LONG_AGO = START - timedelta(days=1)


def found(
    queue: QueueDriver, *, before: int | None = None, limit: int = 100, **which: Any
) -> list[FoundRequest]:
    wanted = RequestFilter(**{"over_after": LONG_AGO, **which})
    return queue.run(lambda q: q.search(wanted, before=before, limit=limit))


def ids(requests: list[FoundRequest]) -> list[str]:
    return [each.request_id for each in requests]


def counts(queue: QueueDriver) -> dict[str, dict[RequestStatus, int]]:
    return queue.run(lambda q: q.status_counts())


def test_requests_are_found_page_by_page_the_latest_first(queue: QueueDriver) -> None:
    for number in range(5):
        queue.enqueue(f"r{number}")
    page = found(queue, limit=2)
    assert ids(page) == ["r4", "r3"]
    assert ids(found(queue, before=page[-1].order, limit=2)) == ["r2", "r1"]
    queue.enqueue("new")  # which moves no page
    assert ids(found(queue, before=page[-1].order)) == ["r2", "r1", "r0"]


def test_a_found_request_carries_what_a_list_shows(queue: QueueDriver) -> None:
    queue.enqueue("a", priority=2)
    queue.now += MINUTE
    queue.claim()
    queue.now += MINUTE
    queue.finish("a", failed=True, attempts=3)
    (request,) = found(queue)
    assert (request.status, request.priority, request.attempts) == (RequestStatus.FAILED, 2, 3)
    assert (request.started_at, request.finished_at) == (START + MINUTE, START + 2 * MINUTE)
    assert [error.message for error in request.errors] == ["broken"]


@pytest.mark.parametrize("status", RequestStatus)
def test_requests_are_found_by_their_status(queue: QueueDriver, status: RequestStatus) -> None:
    for name in ("queued", "expired", "canceled", "running", "failed", "succeeded", "webhook_failed"):
        queue.enqueue(name, expires_in=MINUTE if name == "expired" else 9 * MINUTE, priority=2)
    queue.run(lambda q: q.cancel("canceled", now=queue.now))
    queue.now += MINUTE
    queue.run(lambda q: q.expire(now=queue.now))
    queue.enqueue("queued2", priority=2)
    assert queue.claim(5) == ["queued", "running", "failed", "succeeded", "webhook_failed"]
    queue.finish("failed", failed=True)
    queue.finish("succeeded", is_claimed=True)
    queue.deliver("succeeded")
    queue.finish("webhook_failed", is_claimed=True)
    queue.deliver("webhook_failed", is_delivered=False)
    expected = {
        "QUEUED": ["queued2"],
        "IN_PROGRESS": ["running", "queued"],
    }.get(status.value, [status.value.lower()])
    assert ids(found(queue, status=status)) == expected
    assert counts(queue)[DEPLOYMENT][status] == len(expected)


def test_requests_are_found_by_deployment_and_by_when_they_were_accepted(queue: QueueDriver) -> None:
    queue.enqueue("old")
    queue.enqueue("other", deployment_id="d2")
    queue.now += MINUTE
    queue.enqueue("new")
    assert ids(found(queue, deployment_id=DEPLOYMENT)) == ["new", "old"]
    assert ids(found(queue, since=START + MINUTE)) == ["new"]
    assert ids(found(queue, deployment_id="d2", since=START + MINUTE)) == []


def test_what_was_over_too_long_ago_is_found_no_more(queue: QueueDriver) -> None:
    queue.enqueue("abcdef1")
    queue.run(lambda q: q.cancel("abcdef1", now=queue.now))
    assert ids(found(queue, over_after=START)) == []
    assert queue.run(lambda q: q.starting_with("abcdef", over_after=START, limit=9)) == []


def test_ids_that_begin_so_are_found_in_their_order(queue: QueueDriver) -> None:
    for name in ("abcdef2", "abcdee", "abcdef1", "abcdeg", "abcdef"):
        queue.enqueue(name)

    def begins(prefix: str, limit: int) -> list[str]:
        return queue.run(lambda q: q.starting_with(prefix, over_after=LONG_AGO, limit=limit))

    assert begins("abcdef", 9) == ["abcdef", "abcdef1", "abcdef2"]
    assert begins("abcdef", 2) == ["abcdef", "abcdef1"]
    assert begins("x%_", 9) == []


def test_counts_are_kept_as_requests_come_change_and_are_forgotten(queue: QueueDriver) -> None:
    assert counts(queue) == {}
    queue.enqueue("a")
    queue.enqueue("b")
    queue.enqueue("c", deployment_id="d2")
    queue.claim(1)
    queue.finish("a", is_claimed=True)
    assert counts(queue) == {
        DEPLOYMENT: {RequestStatus.QUEUED: 1, RequestStatus.SUCCEEDED: 1},
        "d2": {RequestStatus.QUEUED: 1},
    }
    queue.deliver("a")
    queue.run(lambda q: q.forget(over_before=queue.now))
    assert counts(queue)[DEPLOYMENT] == {RequestStatus.QUEUED: 1}
    assert queue.run(lambda q: q.open_by_deployment()) == {DEPLOYMENT: 1, "d2": 1}


def test_reading_does_not_wait_for_who_writes(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "queue.sqlite3")
    with QueueDriver(storage, now=START) as queue:
        queue.enqueue("a")
        with closing(sqlite3.connect(storage.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert ids(found(queue)) == ["a"]
            other.execute("ROLLBACK")


class Told:
    """A queue that tells of each request that is over."""

    def __init__(self, driver: QueueDriver) -> None:
        self.driver = driver
        self.over: list[EndedRequest] = []

    def take(self) -> EndedRequest:
        (ended,) = self.over
        self.over.clear()
        return ended


@pytest.fixture(params=STORAGES)
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Told]:
    over: list[EndedRequest] = []
    storage = STORAGES[request.param](tmp_path, on_over=over.append)
    with QueueDriver(storage, now=START) as driver:
        told = Told(driver)
        told.over = over
        yield told


def test_a_request_with_a_webhook_is_over_once_that_was_answered(told: Told) -> None:
    queue = told.driver
    queue.enqueue("a")
    queue.now += MINUTE
    queue.claim()
    queue.now += MINUTE
    queue.finish("a", data=b"12345", is_claimed=True)
    assert told.over == []
    queue.deliver_later("a", seconds=0)
    assert told.over == []
    queue.claim_deliveries()
    queue.deliver("a")
    ended = told.take()
    assert (ended.request_id, ended.status, ended.webhook_status) == ("a", "SUCCEEDED", "SUCCEEDED")
    assert (ended.queue_seconds, ended.model_seconds) == (60, 60)
    assert (ended.size_bytes, ended.error_code) == (5, None)


def test_a_request_without_a_webhook_is_over_with_its_inference(told: Told) -> None:
    queue = told.driver
    queue.enqueue("a", webhook=None)
    queue.claim()
    queue.finish("a", failed=True)
    ended = told.take()
    assert (ended.status, ended.error_code, ended.size_bytes) == ("FAILED", "MODEL_PREDICT_ERROR", None)


def test_what_never_ran_is_over_too(told: Told) -> None:
    queue = told.driver
    queue.enqueue("a")
    queue.enqueue("b", expires_in=MINUTE)
    queue.run(lambda q: q.cancel("a", now=queue.now))
    ended = told.take()
    assert (ended.status, ended.webhook_status, ended.model_seconds) == ("CANCELED", "CANCELED", None)
    queue.run(lambda q: q.cancel("a", now=queue.now))
    queue.now += MINUTE
    queue.run(lambda q: q.expire(now=queue.now))
    assert told.take().status == "EXPIRED"


def test_what_changed_nothing_tells_of_nothing(told: Told) -> None:
    queue = told.driver
    queue.enqueue("a", webhook=None)
    assert not queue.finish("a")
    assert not queue.deliver("a")
    assert told.over == []


def test_how_a_webhook_was_signed_is_kept(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a", is_claimed=True)

    async def deliver() -> None:
        sent = queue.attempt()
        signed = type(sent)(sent.sent_at, sent.latency_ms, sent.status_code, None, "too old")
        await queue.queue.finish_delivery("a", signed, is_delivered=True, now=queue.now)

    queue.run(lambda _: deliver())
    (recorded,) = queue.run(lambda q: q.deliveries("a"))
    assert recorded.attempt.signature == "too old"


def test_requests_are_found_by_their_webhook_and_their_priority(queue: QueueDriver) -> None:
    queue.enqueue("a", priority=1, webhook=None)
    queue.enqueue("b", priority=2)
    assert ids(found(queue, priority=1)) == ["a"]
    assert ids(found(queue, webhook_status=WebhookStatus.PENDING)) == ["b"]
    assert ids(found(queue, webhook_status=WebhookStatus.PENDING, priority=1)) == []


@pytest.fixture
def mixed(queue: QueueDriver) -> QueueDriver:
    """Requests of many classes, one a minute."""
    for number in range(24):
        webhook = None if number % 3 == 0 else "http://127.0.0.1:9/hook"
        queue.enqueue(
            f"{'ab'[number % 2]}{number:02}",
            priority=number % 3,
            webhook=webhook,
            deployment_id=("d1", "d2")[number % 2],
        )
        queue.now += MINUTE
    for deployment_id in ("d1", "d2"):
        claimed = queue.run(lambda q, of=deployment_id: q.claim(of, limit=8, now=queue.now))  # type: ignore[misc]
        for number, each in enumerate(claimed):
            if number > 1:
                queue.finish(each.request_id, failed=number % 2 == 0, is_claimed=True)
            if number > 5 and each.accepted.webhook_endpoint is not None:
                queue.deliver(each.request_id, is_delivered=number % 2 == 0)
    return queue


@pytest.mark.parametrize("most_alike", [10_000, 3], ids=["looked at each", "looked for"])
def test_every_filter_finds_those_of_which_all_holds_and_no_other(
    mixed: QueueDriver, monkeypatch: pytest.MonkeyPatch, most_alike: int
) -> None:
    monkeypatch.setattr("truss_async.harness.request_queue.lists.MAX_LOOKED_THROUGH", most_alike)
    everything = found(mixed)
    assert len(everything) == 24
    choices = product(
        [None, RequestStatus.QUEUED, RequestStatus.FAILED, RequestStatus.WEBHOOK_FAILED],
        [None, WebhookStatus.PENDING, WebhookStatus.SUCCEEDED],
        [None, 2],
        [None, "d2"],
        [None, START + 7 * MINUTE],
        ["", "b", "b0"],
    )
    for status, webhook_status, priority, deployment_id, since, id_prefix in choices:
        expected = [
            each.request_id
            for each in everything
            if status in (None, each.status)
            and webhook_status in (None, each.webhook_status)
            and priority in (None, each.priority)
            and deployment_id in (None, each.deployment_id)
            and (since is None or each.created_at >= since)
            and each.request_id.startswith(id_prefix)
        ]
        which: dict[str, Any] = {"status": status, "webhook_status": webhook_status, "priority": priority}
        which |= {"deployment_id": deployment_id, "since": since, "id_prefix": id_prefix}
        page = found(mixed, **which, limit=3)
        rest = found(mixed, **which, before=page[-1].order) if len(page) == 3 else []
        assert ids(page) + ids(rest) == expected, which


def test_the_oldest_open_request_is_the_one_that_came_first(queue: QueueDriver) -> None:
    assert queue.run(lambda q: q.oldest_open()) is None
    for name in ("first", "second", "third"):
        queue.enqueue(name, priority=0 if name == "third" else 1)
        queue.now += MINUTE
    assert queue.claim(2) == ["third", "first"]

    def oldest() -> FoundRequest | None:
        return queue.run(lambda q: q.oldest_open())

    assert (request := oldest())
    assert (request.request_id, request.status, request.created_at) == (
        "first",
        RequestStatus.IN_PROGRESS,
        START,
    )
    queue.finish("first")
    assert (request := oldest())
    assert (request.request_id, request.status) == ("second", RequestStatus.QUEUED)


def test_of_many_classes_each_is_looked_at_no_further_than_the_page_needs(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    classes = list(product(RequestStatus, WebhookStatus, range(3), ("d1", "d2")))
    values = [
        (f"r{number:05}", *(getattr(each, "value", each) for each in classes[number % len(classes)]))
        for number in range(40 * len(classes))
    ]
    steps: list[None] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        bring_up_to_date(connection, path)
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO requests (request_id, status, webhook_status, priority, deployment_id, request, created_at, "
            "expires_at, status_at) VALUES (?, ?, ?, ?, ?, '{}', 0, 0, 0)",
            values,
        )
        connection.execute("COMMIT")
        connection.set_progress_handler(lambda: steps.append(None), 1)
        page = lists.search(
            connection, RequestFilter(over_after=LONG_AGO, deployment_id="d1"), before=None, limit=100
        )
    assert ids(page) == [each[0] for each in reversed(values) if each[-1] == "d1"][:100]
    assert len(steps) < 30_000
