from __future__ import annotations

import uuid
from datetime import datetime, timezone

import pytest

from truss_async.clock import ManualClock
from truss_async.stores import OutputStore
from truss_async.stores.memory_store import MemoryStore

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def objects(clock: ManualClock) -> MemoryStore:
    return MemoryStore(uuid.uuid4().hex, clock=clock)


@pytest.fixture
def table(clock: ManualClock) -> MemoryStore:
    return MemoryStore(uuid.uuid4().hex, prefix="table", clock=clock)


@pytest.fixture
def store(objects: MemoryStore, table: MemoryStore, clock: ManualClock) -> OutputStore:
    """Results, and the table that they are compacted into."""
    return OutputStore(objects, table=table, clock=clock)
