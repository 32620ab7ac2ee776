from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.unit.harness.request_queue.driver import QueueDriver

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[QueueDriver]:
    with QueueDriver(tmp_path / "queue.sqlite3", now=START) as driver:
        yield driver
