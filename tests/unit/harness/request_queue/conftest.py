from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import QueueDriver
from tests.unit.harness.request_queue.storages import STORAGES, Storage
from truss_async.harness.stories import Journal

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(params=["sqlite", "sqlite with a journal", "postgres"])
def kept_by(request: pytest.FixtureRequest) -> str:
    """The name of a storage, and whether a journal watches; to the journal all storages are the same."""
    return str(request.param)


@pytest.fixture
def storage(kept_by: str, tmp_path: Path) -> Storage:
    return STORAGES[kept_by.split()[0]](tmp_path)


@pytest.fixture
def journal(kept_by: str) -> Journal | None:
    return Journal() if kept_by.endswith("journal") else None


@pytest.fixture
def queue(storage: Storage, journal: Journal | None) -> Iterator[QueueDriver]:
    with QueueDriver(storage, now=START, journal=journal) as driver:
        yield driver
