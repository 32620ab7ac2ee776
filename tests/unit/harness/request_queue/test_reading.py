"""What is read beside who writes: with a bound on its work, and by who writes where it cannot be."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.conftest import START
from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import SqliteStorage
from truss_async.contract import RequestStatus
from truss_async.harness.request_queue import RequestQueueError, reading

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT count(*) FROM n"
FEW, ENDLESS = NUMBERS.format(50_000), NUMBERS.format(-1)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[QueueDriver]:
    with QueueDriver(SqliteStorage(tmp_path / "queue.sqlite3"), now=START) as driver:
        yield driver


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[reading.DatabaseReader]:
    """It may take a hundredth of the steps that it may."""
    monkeypatch.setattr(reading, "MAX_STEPS", reading.MAX_STEPS // 100)
    reader = reading.DatabaseReader(tmp_path / "queue.sqlite3")
    yield reader
    reader.close()


def count(queue: QueueDriver, reader: reading.DatabaseReader, numbers: str) -> int:
    return queue.run(lambda _: reader.run(lambda connection: int(connection.execute(numbers).fetchone()[0])))


def test_what_takes_too_many_steps_is_ended_and_says_what_to_do(
    queue: QueueDriver, reader: reading.DatabaseReader
) -> None:
    with pytest.raises(RequestQueueError, match=r"it takes too long .*; request less"):
        count(queue, reader, ENDLESS)


def test_each_question_has_all_of_the_steps(queue: QueueDriver, reader: reading.DatabaseReader) -> None:
    assert [count(queue, reader, FEW) for _ in range(5)] == [50_000] * 5


def test_what_cannot_be_read_beside_who_writes_is_read_by_who_writes(
    queue: QueueDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue("a")

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite3, "connect", refuse)
        assert queue.run(lambda q: q.counts(DEPLOYMENT)).queued == 1
        assert queue.run(lambda q: q.status_counts()) == {DEPLOYMENT: {RequestStatus.QUEUED: 1}}
        with pytest.raises(RequestQueueError, match="cannot read the request queue"):
            queue.run(lambda q: q.oldest_open())
    found = queue.run(lambda q: q.oldest_open())
    assert found is not None
    assert found.request_id == "a"
