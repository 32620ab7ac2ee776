from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import QueueDriver
from truss_async.harness.stories import Journal

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(params=["alone", "with a journal"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueDriver]:
    journal = Journal() if request.param == "with a journal" else None
    with QueueDriver(tmp_path / "queue.sqlite3", now=START, journal=journal) as driver:
        yield driver
