import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from truss_async.contract import ErrorDetail, InferenceRetryConfig, RequestStatus
from truss_async.harness.request_queue import (
    AcceptedRequest,
    RequestQueue,
    RequestQueueError,
    SqliteRequestQueue,
)

MINUTE = timedelta(minutes=1)
VECTORS = Path(__file__).parents[3] / "vectors"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_a_claimed_delivery_is_given_out_again_until_its_attempt_is_recorded(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.run(
        lambda q: q.finish("a", RequestStatus.SUCCEEDED, attempts=1, data=b"[1]", errors=[], now=queue.now)
    )
    assert queue.run(lambda q: q.claimed_delivery("a")) is None
    claimed = queue.run(lambda q: q.claim_deliveries(limit=10, now=queue.now))
    assert [queue.run(lambda q: q.claimed_delivery("a"))] == claimed
    queue.run(lambda q: q.finish_delivery("a", queue.attempt(), is_delivered=True, now=queue.now))
    assert queue.run(lambda q: q.claimed_delivery("a")) is None


def test_requests_are_claimed_by_priority_then_age(queue: QueueDriver) -> None:
    for name, priority in [("a", 2), ("b", 0), ("c", 1), ("d", 0)]:
        queue.enqueue(name, priority=priority)
    assert queue.claim(3) == ["b", "d", "c"]
    assert queue.claim(3) == ["a"]
    assert queue.claim(3) == []


def test_a_claimed_request_carries_what_an_attempt_needs(queue: QueueDriver) -> None:
    queue.enqueue("a", model_input=b'["input"]')
    (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=1, now=queue.now))
    assert (claimed.request_id, claimed.model_input, claimed.attempts_made) == ("a", b'["input"]', 0)
    assert claimed.accepted == queue.request("a").accepted


def test_a_number_in_the_order_of_acceptance_is_not_given_twice(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.run(lambda q: q.cancel("a", now=queue.now))
    assert queue.run(lambda q: q.forget(over_before=queue.now)) == 1
    queue.enqueue("b")
    (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=1, now=queue.now))
    assert claimed.order == 2
    finish(queue, "b")
    (due,) = queue.run(lambda q: q.claim_deliveries(limit=1, now=queue.now))
    assert due.order == 2


def test_another_deployments_requests_are_not_claimed(queue: QueueDriver) -> None:
    queue.enqueue("a")
    assert queue.run(lambda q: q.claim("other", limit=1, now=queue.now)) == []


def test_an_expired_request_is_never_claimed_even_before_it_is_swept(queue: QueueDriver) -> None:
    queue.enqueue("a", expires_in=MINUTE)
    queue.now += MINUTE
    assert queue.claim() == []


def test_expiring_sends_nothing(queue: QueueDriver) -> None:
    queue.enqueue("a", expires_in=MINUTE)
    queue.enqueue("b", expires_in=MINUTE, webhook=None)
    queue.enqueue("c", expires_in=2 * MINUTE)
    assert queue.run(lambda q: q.next_expiry()) == queue.now + MINUTE
    queue.now += MINUTE
    assert queue.run(lambda q: q.expire(now=queue.now)) == ["a", "b"]
    assert queue.statuses("a") == ("EXPIRED", "CANCELED")
    assert queue.statuses("b") == ("EXPIRED", "NO_WEBHOOK_PROVIDED")
    assert queue.statuses("c") == ("QUEUED", "PENDING")
    assert queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now)) == []


def test_only_a_queued_request_is_cancelled(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.enqueue("b")
    assert queue.claim(1) == ["a"]
    assert not queue.run(lambda q: q.cancel("a", now=queue.now))
    assert queue.run(lambda q: q.cancel("b", now=queue.now))
    assert not queue.run(lambda q: q.cancel("b", now=queue.now))
    assert not queue.run(lambda q: q.cancel("unknown", now=queue.now))
    assert queue.statuses("a") == ("IN_PROGRESS", "PENDING")
    assert queue.statuses("b") == ("CANCELED", "CANCELED")
    assert queue.claim() == []


def finish(
    queue: QueueDriver, request_id: str, *, data: bytes | None = b'"out"', failed: bool = False
) -> bool:
    return queue.run(
        lambda q: q.finish(
            request_id,
            RequestStatus.FAILED if failed else RequestStatus.SUCCEEDED,
            attempts=1,
            data=None if failed else data,
            errors=[ErrorDetail(code="MODEL_PREDICT_ERROR", message="broken")] if failed else [],
            now=queue.now,
        )
    )


def test_a_result_is_given_out_once_until_its_attempt_is_recorded(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    assert finish(queue, "a")
    (due,) = queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
    assert (due.request_id, due.data, due.errors, due.attempts_made) == ("a", b'"out"', [], 0)
    assert queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now)) == []
    later = queue.now + MINUTE
    queue.run(lambda q: q.deliver_later("a", queue.attempt(500), at=later))
    assert queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now)) == []
    assert queue.run(lambda q: q.next_delivery()) == later
    (due,) = queue.run(lambda q: q.claim_deliveries(limit=9, now=later))
    assert (due.data, due.attempts_made) == (b'"out"', 1)


def test_every_delivery_attempt_is_kept(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    finish(queue, "a")
    queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
    queue.run(lambda q: q.deliver_later("a", queue.attempt(None), at=queue.now))
    queue.run(lambda q: q.finish_delivery("a", queue.attempt(200), is_delivered=True, now=queue.now))
    assert queue.record("a").deliveries == [queue.attempt(None), queue.attempt(200)]
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")


@pytest.mark.parametrize(
    ("failed", "delivered", "expected"),
    [
        (False, True, ("SUCCEEDED", "SUCCEEDED")),
        (False, False, ("WEBHOOK_FAILED", "FAILED")),
        (True, True, ("FAILED", "SUCCEEDED")),
        (True, False, ("FAILED", "FAILED")),
    ],
)
def test_both_statuses_tell_how_it_ended(
    queue: QueueDriver, failed: bool, delivered: bool, expected: tuple[str, str]
) -> None:
    queue.enqueue("a")
    queue.claim()
    finish(queue, "a", failed=failed)
    queue.run(lambda q: q.finish_delivery("a", queue.attempt(), is_delivered=delivered, now=queue.now))
    assert queue.statuses("a") == expected


def test_a_result_is_recorded_once(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    queue.claim()
    assert finish(queue, "a")
    assert not finish(queue, "a", failed=True)
    assert queue.statuses("a") == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")


def test_a_retry_waits_in_progress_with_its_error(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    error = ErrorDetail(code="MODEL_PREDICT_ERROR", message="broken")
    queue.run(lambda q: q.retry_later("a", attempts=1, at=queue.now + MINUTE, errors=[error]))
    assert queue.statuses("a") == ("IN_PROGRESS", "PENDING")
    assert queue.record("a").status.errors == [error]
    queue.reopen()
    (waiting,) = queue.run(lambda q: q.in_progress(DEPLOYMENT))
    assert (waiting.request_id, waiting.next_attempt_at) == ("a", queue.now + MINUTE)
    resumed = queue.run(lambda q: q.resume("a"))
    assert resumed is not None
    assert (resumed.attempts_made, resumed.model_input) == (1, b'{"x":1}')


def test_what_was_being_delivered_is_due_again_after_a_restart(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    finish(queue, "a")
    queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
    queue.reopen()
    (due,) = queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
    assert due.request_id == "a"


def test_a_status_is_forgotten_when_it_has_been_over_long_enough(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    queue.enqueue("b")
    queue.claim()
    finish(queue, "a")
    finish(queue, "b")
    assert queue.run(lambda q: q.next_over()) == queue.now
    assert queue.run(lambda q: q.forget(over_before=queue.now - MINUTE)) == 0
    assert queue.run(lambda q: q.forget(over_before=queue.now)) == 1
    assert queue.run(lambda q: q.record("a")) is None
    assert queue.statuses("b") == ("SUCCEEDED", "PENDING")


def test_counts_tell_what_waits_and_what_runs(queue: QueueDriver) -> None:
    for name in "abc":
        queue.enqueue(name)
    queue.claim(1)
    counts = queue.run(lambda q: q.counts(DEPLOYMENT))
    assert (counts.queued, counts.in_progress) == (2, 1)


def state_bytes(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


@pytest.mark.parametrize("size", [10, 100_000])
def test_input_and_output_are_erased_from_the_files_when_they_are_over(queue: QueueDriver, size: int) -> None:
    secret_in, secret_out = b"INPUT-7f3a" * size, b"OUTPUT-9c1d" * size
    queue.enqueue("a", model_input=b'"' + secret_in + b'"')
    assert b"INPUT-7f3a" in state_bytes(queue.path)
    queue.claim()
    finish(queue, "a", data=b'"' + secret_out + b'"')
    queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
    queue.run(lambda q: q.finish_delivery("a", queue.attempt(), is_delivered=True, now=queue.now))
    queue.reopen()
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")
    left = state_bytes(queue.path)
    assert b"INPUT-7f3a" not in left
    assert b"OUTPUT-9c1d" not in left


def test_without_a_webhook_the_output_is_never_written(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    queue.claim()
    finish(queue, "a", data=b'"OUTPUT-9c1d"')
    assert b"OUTPUT-9c1d" not in state_bytes(queue.path)


def test_enqueued_requests_survive_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    script = textwrap.dedent("""
        import os, sys
        from datetime import datetime, timezone
        from pathlib import Path
        from tests.unit.harness.request_queue.driver import QueueDriver
        driver = QueueDriver(Path(sys.argv[1]), now=datetime(2026, 1, 1, tzinfo=timezone.utc))
        for number in range(50):
            driver.enqueue(f"r{number}")
        driver.claim(5)
        os._exit(9)
    """)
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 9
    with QueueDriver(path, now=datetime(2026, 1, 1, tzinfo=timezone.utc)) as queue:
        assert len(queue.run(lambda q: q.in_progress(DEPLOYMENT))) == 5
        assert len(queue.claim()) == 45


def test_two_queues_on_one_file_never_claim_twice(queue: QueueDriver) -> None:
    for number in range(60):
        queue.enqueue(f"r{number}")
    other = SqliteRequestQueue(queue.path, now=queue.now)

    async def claim_all(mine: RequestQueue) -> list[str]:
        claimed: list[str] = []
        while found := await mine.claim(DEPLOYMENT, limit=3, now=queue.now):
            claimed += [request.request_id for request in found]
        return claimed

    async def race(first: RequestQueue) -> list[list[str]]:
        return list(await asyncio.gather(claim_all(first), claim_all(other)))

    one, two = queue.run(race)
    queue.run(lambda _: other.close())
    assert sorted(one + two) == sorted(f"r{number}" for number in range(60))


def test_many_at_once_share_commits_and_all_take_effect(queue: QueueDriver) -> None:
    async def flood(q: RequestQueue) -> None:
        await asyncio.gather(*(q.cancel("unknown", now=queue.now) for _ in range(2000)))

    queue.run(flood)
    queue.enqueue("a")
    assert queue.claim() == ["a"]


def test_one_failing_operation_does_not_take_others_with_it(queue: QueueDriver) -> None:
    queue.enqueue("a")
    same_id = queue.request("a")

    async def together(q: RequestQueue) -> list[object]:
        return list(
            await asyncio.gather(q.cancel("a", now=queue.now), q.enqueue(same_id), return_exceptions=True)
        )

    cancelled, error = queue.run(together)
    assert cancelled is True
    assert isinstance(error, RequestQueueError)
    assert queue.statuses("a") == ("CANCELED", "CANCELED")


def test_a_full_disk_refuses_new_requests_and_loses_none(queue: QueueDriver) -> None:
    queue.enqueue("a")
    writer = queue.kept._writer

    def shrink(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def grow(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1000000")

    queue.run(lambda _: writer.run(shrink))
    with pytest.raises(RequestQueueError, match=r"full.*free some space"):
        queue.enqueue("b", model_input=b'"' + b"x" * 200_000 + b'"')
    queue.run(lambda _: writer.run(grow))
    queue.enqueue("c")
    assert queue.claim() == ["a", "c"]


def test_a_file_of_a_newer_version_is_refused(queue: QueueDriver) -> None:
    path = queue.path.with_name("other.sqlite3")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RequestQueueError, match="newer version"):
        SqliteRequestQueue(path, now=queue.now)


def file_of_version(number: int, folder: Path) -> Path:
    path = folder / "queue.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript((VECTORS / f"queue_version_{number}.sql").read_text())
    connection.close()
    return path


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    with QueueDriver(file_of_version(1, tmp_path), now=START) as queue:
        record = queue.run(lambda q: q.record("old"))
        assert record is not None
        assert (record.status.model_id, record.status.chain_id, record.priority) == ("local", None, 1)
        queue.enqueue("new")
        assert queue.claim(2) == ["new", "old"]
        queue.reopen()
        assert len(queue.run(lambda q: q.in_progress(DEPLOYMENT))) == 2


def test_a_file_of_version_2_is_brought_up_to_date(tmp_path: Path) -> None:
    with QueueDriver(file_of_version(2, tmp_path), now=START) as queue:
        (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=9, now=queue.now))
        retries = InferenceRetryConfig(max_attempts=7, initial_delay_ms=11, max_delay_ms=13)
        assert claimed.accepted == AcceptedRequest("m2", None, 'https://example.com/hook?a="b"', retries)
        (waiting,) = [
            each for each in queue.run(lambda q: q.in_progress(DEPLOYMENT)) if each.request_id == "waiting"
        ]
        assert waiting.next_attempt_at == START + timedelta(seconds=2)
        status = queue.record("waiting").status
        assert (status.model_id, status.chain_id, status.errors[0].message) == ("m2", "c2", "broken")
        (due,) = queue.run(lambda q: q.claim_deliveries(limit=9, now=queue.now))
        assert (due.request_id, due.data, due.attempts_made) == ("sending", b"[1]", 1)
        assert due.webhook_endpoint == "https://example.com/hook"
        (sent,) = queue.run(lambda q: q.deliveries("sending"))
        assert (sent.webhook_endpoint, sent.attempt.status_code) == ("https://example.com/hook", 503)


def test_a_file_that_is_no_database_is_refused(queue: QueueDriver) -> None:
    path = queue.path.with_name("text.sqlite3")
    path.write_text("this is no database, but a text that is long enough to look at" * 10)
    with pytest.raises(RequestQueueError, match="cannot open"):
        SqliteRequestQueue(path, now=queue.now)


def test_a_closed_queue_says_so(queue: QueueDriver) -> None:
    queue.run(lambda q: q.close())
    with pytest.raises(RequestQueueError, match="closed"):
        queue.enqueue("a")


@pytest.mark.parametrize(("options", "level"), [({"is_kept": False}, 0), ({}, 1), ({"is_synced": True}, 2)])
def test_a_commit_is_on_the_disk_when_it_is_asked_for(
    tmp_path: Path, options: dict[str, bool], level: int
) -> None:
    async def synchronous() -> object:
        queue = SqliteRequestQueue(tmp_path / "queue.sqlite3", now=START, **options)
        try:
            return await queue._writer.run(lambda c: c.execute("PRAGMA synchronous").fetchone()[0])
        finally:
            await queue.close()

    assert asyncio.run(synchronous()) == level
