"""Results that are kept for redelivery: for their time, and not a moment longer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.unit.harness.request_queue.driver import BROKEN, QueueDriver
from tests.unit.harness.request_queue.storages import STORAGES, SqliteStorage, Storage
from truss_async.harness.request_queue import AT_ONCE, DamagedQueueError, DueDelivery, KeptResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def storage(kept_by: str, tmp_path: Path) -> Storage:
    return STORAGES[kept_by.split()[0]](tmp_path, keep_results=HOUR)


@pytest.fixture
def file(tmp_path: Path) -> SqliteStorage:
    return SqliteStorage(tmp_path / "queue.sqlite3", keep_results=HOUR)


@pytest.fixture
def in_file(file: SqliteStorage) -> Iterator[QueueDriver]:
    with QueueDriver(file, now=START) as driver:
        yield driver


def ends(queue: QueueDriver, request_id: str, *, is_delivered: bool = True, failed: bool = False) -> None:
    queue.enqueue(request_id)
    queue.claim()
    queue.finish(request_id, failed=failed)
    queue.claim_deliveries()
    queue.deliver(request_id, status_code=200 if is_delivered else 404, is_delivered=is_delivered)


def kept(queue: QueueDriver, request_id: str) -> DueDelivery | None:
    return queue.run(lambda q: q.kept_result(request_id, now=queue.now))


def listed(
    queue: QueueDriver, *, since: datetime | None = None, is_failed: bool = False, limit: int = 10
) -> list[KeptResult]:
    return queue.run(lambda q: q.kept_results(since=since, is_failed=is_failed, now=queue.now, limit=limit))


def test_a_result_that_was_delivered_can_be_sent_again_until_its_time_is_over(queue: QueueDriver) -> None:
    ends(queue, "a")
    queue.now += HOUR - MOMENT
    found = kept(queue, "a")
    assert found is not None
    assert (found.data, found.errors, found.attempts_made) == (b'"out"', [], 1)
    assert found.accepted == queue.request("a").accepted
    queue.now += MOMENT
    assert kept(queue, "a") is None
    assert listed(queue) == []


@pytest.mark.parametrize("failed", [False, True])
def test_the_result_of_a_request_without_a_webhook_is_kept_too(queue: QueueDriver, *, failed: bool) -> None:
    queue.enqueue("a", webhook=None)
    queue.claim()
    queue.finish("a", failed=failed)
    found = kept(queue, "a")
    assert found is not None
    assert (found.data, found.errors) == ((None, [BROKEN]) if failed else (b'"out"', []))
    assert found.webhook_endpoint == ""


def test_what_is_still_to_be_delivered_is_not_kept_yet(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a")
    assert kept(queue, "a") is None
    queue.claim_deliveries()
    queue.deliver_later("a")
    assert kept(queue, "a") is None


def test_what_was_never_inferred_is_not_kept(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.run(lambda q: q.cancel("a", now=queue.now))
    assert kept(queue, "a") is None


def test_without_the_option_nothing_is_kept(storage: Storage) -> None:
    with QueueDriver(storage.without_options(), now=START) as queue:
        ends(queue, "a")
        assert kept(queue, "a") is None
        assert queue.run(lambda q: q.next_erasure()) is None


def test_the_list_has_the_latest_first_and_what_was_asked_for(queue: QueueDriver) -> None:
    ends(queue, "a", is_delivered=False)
    queue.now += timedelta(minutes=1)
    ends(queue, "b", failed=True)
    queue.now += timedelta(minutes=1)
    ends(queue, "c", is_delivered=False)
    assert [each.request_id for each in listed(queue)] == ["c", "b", "a"]
    assert [each.request_id for each in listed(queue, limit=2)] == ["c", "b"]
    assert [each.request_id for each in listed(queue, is_failed=True)] == ["c", "a"]
    assert [each.request_id for each in listed(queue, is_failed=True, since=START + MOMENT)] == ["c"]
    failed = listed(queue)[1]
    assert (failed.errors, failed.size_bytes) == ([BROKEN], None)
    assert (failed.over_at, failed.erase_at) == (
        START + timedelta(minutes=1),
        START + HOUR + timedelta(minutes=1),
    )


def test_a_result_outlives_the_status_of_its_request(queue: QueueDriver) -> None:
    ends(queue, "a", is_delivered=False)
    assert queue.run(lambda q: q.forget(over_before=queue.now)) == 1
    assert kept(queue, "a") is not None
    again = queue.attempt()
    assert not queue.run(lambda q: q.record_redelivery("a", again, sent_to=None, is_delivered=True))
    assert listed(queue, is_failed=True) == []
    found = kept(queue, "a")
    assert found is not None
    assert found.attempts_made == 2


@pytest.mark.parametrize(
    ("sent_to", "is_delivered", "statuses"),
    [
        (None, True, ("SUCCEEDED", "SUCCEEDED")),
        (None, False, ("WEBHOOK_FAILED", "FAILED")),
        ("https://other.example/hook", True, ("WEBHOOK_FAILED", "FAILED")),
    ],
)
def test_a_webhook_that_had_failed_has_succeeded_once_its_own_endpoint_has_acknowledged(
    queue: QueueDriver, sent_to: str | None, is_delivered: bool, statuses: tuple[str, str]
) -> None:
    ends(queue, "a", is_delivered=False)
    again = queue.attempt(200 if is_delivered else 503)
    assert queue.run(lambda q: q.record_redelivery("a", again, sent_to=sent_to, is_delivered=is_delivered))
    assert queue.statuses("a") == statuses
    recorded = queue.run(lambda q: q.deliveries("a"))
    own = "https://example.com/hook"
    assert [(each.number, each.webhook_endpoint) for each in recorded] == [(1, own), (2, sent_to or own)]
    assert [each.request_id for each in listed(queue, is_failed=True)] == (
        [] if statuses[1] == "SUCCEEDED" else ["a"]
    )
    if queue.journal is not None:
        story = queue.journal.story("a")
        assert story is not None
        assert (story.status.value, story.webhook_status.value) == statuses
        assert story.deliveries == 2


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_restart_keeps_what_is_kept_and_its_time_also_without_the_option(
    queue: QueueDriver, storage: Storage, *, is_killed: bool
) -> None:
    ends(queue, "a")
    if is_killed:
        storage.kill()
    with QueueDriver(storage.without_options(), now=START) as later:
        if not is_killed:
            queue.run(lambda q: q.close())
        assert kept(later, "a") is not None
        assert later.run(lambda q: q.next_erasure()) == START + HOUR
        later.now = START + HOUR - MOMENT
        assert later.run(lambda q: q.erase_kept(now=later.now)) == 0
        later.now = START + HOUR
        assert later.run(lambda q: q.erase_kept(now=later.now)) == 1
        assert later.run(lambda q: q.next_erasure()) is None
        assert later.run(lambda q: q.erase_kept(now=later.now, limit=AT_ONCE)) == 0


@pytest.mark.parametrize("size", [10, 100_000])
def test_what_was_kept_leaves_no_trace_in_the_files(
    in_file: QueueDriver, file: SqliteStorage, size: int
) -> None:
    in_file.enqueue("a")
    in_file.claim()
    in_file.finish("a", data=b'"' + b"OUTPUT-9c1d" * size + b'"')
    in_file.claim_deliveries()
    in_file.deliver("a")
    assert kept(in_file, "a") is not None
    in_file.run(lambda q: q.erase_kept(now=START + HOUR))
    in_file.reopen()
    files = sorted(file.path.parent.iterdir())
    assert not [each.name for each in files if b"OUTPUT-9c1d" in each.read_bytes()]


def test_a_kept_result_that_the_disk_has_damaged_is_not_sent(
    in_file: QueueDriver, file: SqliteStorage
) -> None:
    ends(in_file, "a")
    ends(in_file, "b")
    file.execute("UPDATE kept_results SET model_output = x'22' WHERE request_id = 'a'")
    with pytest.raises(DamagedQueueError, match="kept result of a was damaged"):
        kept(in_file, "a")
    assert kept(in_file, "b") is not None
