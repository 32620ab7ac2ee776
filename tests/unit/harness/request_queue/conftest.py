from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import QueueDriver
from tests.unit.harness.request_queue.storages import STORAGES, Storage
from truss_async.harness.stories import Journal

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return STORAGES[request.param](tmp_path)


@pytest.fixture(params=["alone", "with a journal"])
def queue(request: pytest.FixtureRequest, storage: Storage) -> Iterator[QueueDriver]:
    journal = Journal() if request.param == "with a journal" else None
    with QueueDriver(storage, now=START, journal=journal) as driver:
        yield driver
