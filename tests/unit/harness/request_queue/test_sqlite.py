"""What is so of the queue in SQLite alone: its file."""

import asyncio
import contextlib
import os
import re
import resource
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import SqliteStorage
from truss_async.contract import InferenceRetryConfig, RequestStatus
from truss_async.harness.request_queue import (
    AcceptedRequest,
    RequestFilter,
    RequestQueueError,
    SqliteRequestQueue,
)
from truss_async.harness.request_queue.queries import queries

VECTORS = Path(__file__).parents[3] / "vectors"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def file(tmp_path: Path) -> SqliteStorage:
    return SqliteStorage(tmp_path / "queue.sqlite3")


@pytest.fixture
def queue(file: SqliteStorage) -> Iterator[QueueDriver]:
    with QueueDriver(file, now=START) as driver:
        yield driver


def state_bytes(file: SqliteStorage) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(file.path.parent.iterdir()))


@pytest.mark.parametrize("size", [10, 100_000])
def test_input_and_output_are_erased_from_the_files_when_they_are_over(
    queue: QueueDriver, file: SqliteStorage, size: int
) -> None:
    secret_in, secret_out = b"INPUT-7f3a" * size, b"OUTPUT-9c1d" * size
    queue.enqueue("a", model_input=b'"' + secret_in + b'"')
    assert b"INPUT-7f3a" in state_bytes(file)
    queue.claim()
    queue.finish("a", data=b'"' + secret_out + b'"')
    queue.claim_deliveries()
    queue.deliver("a")
    queue.reopen()
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")
    left = state_bytes(file)
    assert b"INPUT-7f3a" not in left
    assert b"OUTPUT-9c1d" not in left


def test_without_a_webhook_the_output_is_never_written(queue: QueueDriver, file: SqliteStorage) -> None:
    queue.enqueue("a", webhook=None)
    queue.claim()
    queue.finish("a", data=b'"OUTPUT-9c1d"')
    assert b"OUTPUT-9c1d" not in state_bytes(file)


def test_enqueued_requests_survive_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    script = textwrap.dedent("""
        import os, sys
        from datetime import datetime, timezone
        from pathlib import Path
        from tests.unit.harness.request_queue.driver import QueueDriver
        from tests.unit.harness.request_queue.storages import SqliteStorage
        driver = QueueDriver(SqliteStorage(Path(sys.argv[1])), now=datetime(2026, 1, 1, tzinfo=timezone.utc))
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
    with QueueDriver(SqliteStorage(path), now=START) as queue:
        assert len(queue.take_over()) == 5
        assert len(queue.claim()) == 45


def test_a_full_disk_refuses_new_requests_and_loses_none(queue: QueueDriver) -> None:
    queue.enqueue("a")
    assert isinstance(queue.queue, SqliteRequestQueue)
    writer = queue.queue._database._writer

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


def test_a_file_of_a_newer_version_is_refused(file: SqliteStorage) -> None:
    file.execute("PRAGMA user_version = 99")
    with pytest.raises(RequestQueueError, match="newer version"):
        SqliteRequestQueue(file.path, now=START)


def written_by_version(number: int, file: SqliteStorage) -> SqliteStorage:
    connection = sqlite3.connect(file.path)
    connection.executescript((VECTORS / f"queue_version_{number}.sql").read_text())
    connection.close()
    return file


def test_a_file_of_version_1_is_brought_up_to_date(file: SqliteStorage) -> None:
    with QueueDriver(written_by_version(1, file), now=START) as queue:
        record = queue.record("old")
        assert (record.status.model_id, record.status.chain_id, record.priority) == ("local", None, 1)
        queue.enqueue("new")
        assert queue.claim(2) == ["new", "old"]
        queue.reopen()
        assert len(queue.take_over()) == 2


@pytest.mark.parametrize("version", [2, 3, 4, 7])
def test_a_file_of_a_later_version_is_brought_up_to_date(file: SqliteStorage, version: int) -> None:
    with QueueDriver(written_by_version(version, file), now=START) as queue:
        (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=9, now=queue.now))
        retries = InferenceRetryConfig(max_attempts=7, initial_delay_ms=11, max_delay_ms=13)
        assert claimed.accepted == AcceptedRequest("m2", None, 'https://example.com/hook?a="b"', retries)
        (waiting,) = queue.run(lambda q: q.take_over(DEPLOYMENT, now=queue.now))
        assert (waiting.request_id, waiting.next_attempt_at) == ("waiting", START + timedelta(seconds=2))
        status = queue.record("waiting").status
        assert (status.model_id, status.chain_id, status.errors[0].message) == ("m2", "c2", "broken")
        assert queue.run(lambda q: q.release_deliveries(now=queue.now)) == 1
        (due,) = queue.claim_deliveries()
        assert (due.request_id, due.data, due.attempts_made) == ("sending", b"[1]", 1)
        assert due.webhook_endpoint == "https://example.com/hook"
        (sent,) = queue.run(lambda q: q.deliveries("sending"))
        assert (sent.webhook_endpoint, sent.attempt.status_code) == ("https://example.com/hook", 503)


def test_a_file_that_is_no_database_is_refused(file: SqliteStorage) -> None:
    file.path.write_text("this is no database, but a text that is long enough to look at" * 10)
    with pytest.raises(RequestQueueError, match="cannot open"):
        SqliteRequestQueue(file.path, now=START)


@pytest.mark.parametrize(("options", "level"), [({"is_kept": False}, 0), ({}, 1), ({"is_synced": True}, 2)])
def test_a_commit_is_on_the_disk_when_it_is_asked_for(
    tmp_path: Path, options: dict[str, Any], level: int
) -> None:
    async def synchronous() -> object:
        queue = SqliteRequestQueue(tmp_path / "queue.sqlite3", now=START, **options)
        try:
            return await queue._database._writer.run(lambda c: c.execute("PRAGMA synchronous").fetchone()[0])
        finally:
            await queue.close()

    assert asyncio.run(synchronous()) == level


def test_the_file_of_a_queue_that_was_drained_becomes_small_again(
    queue: QueueDriver, file: SqliteStorage
) -> None:
    for number in range(200):
        queue.enqueue(f"r{number}", model_input=b'"' + b"x" * 100_000 + b'"', webhook=None)
    queue.run(lambda _: until(lambda: file.path.stat().st_size > 20_000_000))
    for name in queue.claim(200):
        queue.finish(name)
    queue.run(lambda _: until(lambda: file.path.stat().st_size < 6_000_000))
    queue.enqueue("new")
    assert queue.claim() == ["new"]


def without_giving_back(file: SqliteStorage) -> None:
    """As an early version left its files."""
    with QueueDriver(file, now=START) as queue:
        for number in range(40):
            queue.enqueue(f"r{number}", model_input=b'"' + b"x" * 100_000 + b'"', webhook=None)
    file.execute("PRAGMA journal_mode = DELETE", "PRAGMA auto_vacuum = NONE", "VACUUM")
    assert file.execute("PRAGMA auto_vacuum") == [(0,)]


def test_a_file_of_an_early_version_learns_to_give_back_and_keeps_what_is_in_it(file: SqliteStorage) -> None:
    without_giving_back(file)
    with QueueDriver(file, now=START) as queue:
        assert file.execute("PRAGMA auto_vacuum") == [(2,)]
        for number, claimed in enumerate(queue.run(lambda q: q.claim(DEPLOYMENT, limit=40, now=START))):
            assert (claimed.request_id, claimed.order, claimed.damage) == (f"r{number}", number + 1, None)
            queue.finish(claimed.request_id)
    with QueueDriver(file, now=START) as queue:
        queue.enqueue("new")
        queue.run(lambda _: until(lambda: file.path.stat().st_size < 5_000_000 and not queue_log(file)))
    assert file.execute("PRAGMA integrity_check") == [("ok",)]


def queue_log(file: SqliteStorage) -> int:
    return Path(f"{file.path}-wal").stat().st_size


def test_a_file_with_much_in_it_is_not_written_anew(
    file: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_giving_back(file)
    monkeypatch.setattr("truss_async.harness.request_queue.schema.MAX_WRITTEN_ANEW_BYTES", 1_000_000)
    with QueueDriver(file, now=START) as queue:
        assert len(queue.claim(100)) == 40
    assert file.execute("PRAGMA auto_vacuum") == [(0,)]


def test_a_file_that_there_is_no_room_to_write_anew_is_as_it_was(file: SqliteStorage) -> None:
    without_giving_back(file)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        queue = QueueDriver(file, now=START)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with queue:
        assert len(queue.claim(100)) == 40
    assert file.execute("PRAGMA integrity_check") == [("ok",)]
    assert file.execute("PRAGMA auto_vacuum") == [(0,)]


async def until(holds: Callable[[], bool]) -> None:
    async def look() -> None:
        while not holds():  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 30)


FEW = (
    "owners",
    "counts",
    "this",
    "classes",
    "(subquery",
    "requests USING COVERING INDEX by_class",
    "d USING INDEX deliveries_by_time",
)
"""Of these there are few, or so many are looked at as are asked for."""
OF_THOSE_IN_PROGRESS = ("count_interruptions", "take_over")
"""They are for all of a status, of which there are few; the others must not go through all that are queued, say."""


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in queries()
        if not name.startswith(("schema", "migrate", "enqueue", "begin", "be_owner", "keep", "record_d"))
    ),
)
def test_no_query_looks_at_all_requests(queue: QueueDriver, file: SqliteStorage, name: str) -> None:
    for number in range(20):
        queue.enqueue(f"r{number}")
    queue.claim(5)
    queue.finish("r1")
    with contextlib.closing(sqlite3.connect(file.path)) as connection:
        values = dict.fromkeys(re.findall(r":(\w+)", queries()[name]), 1)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {queries()[name]}", values).fetchall()
    scanned = [step for *_, step in plan if step.startswith("SCAN") and "CONSTANT ROW" not in step]
    assert [step for step in scanned if not step.removeprefix("SCAN ").startswith(FEW)] == []
    assert [step for *_, step in plan if "TEMP B-TREE FOR ORDER" in step] == []
    whole_statuses = [step for *_, step in plan if step.endswith(" by_class (status=?)")]
    assert whole_statuses == [] or name in OF_THOSE_IN_PROGRESS


def test_lists_are_found_in_a_file_of_the_version_before(file: SqliteStorage) -> None:
    with QueueDriver(written_by_version(7, file), now=START) as queue:
        for status, expected in {
            "QUEUED": ["queued"],
            "IN_PROGRESS": ["waiting"],
            "SUCCEEDED": ["sending"],
        }.items():
            wanted = RequestFilter(over_after=START, status=RequestStatus(status))
            found = queue.run(lambda q: q.search(wanted, before=None, limit=9))  # noqa: B023
            assert [each.request_id for each in found] == expected
    names = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert "by_class" in names
    assert not {"in_progress", "ended_badly"} & names
