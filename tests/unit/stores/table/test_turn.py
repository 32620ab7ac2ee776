"""One process at a time writes a table."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.errors import OutputStoreError
from truss_async.stores.table.turn import LEASE_SECONDS, Turn, this_machine

if TYPE_CHECKING:
    from truss_async.clock import ManualClock
    from truss_async.stores.memory_store import MemoryStore


@pytest.fixture
def make(table: MemoryStore, clock: ManualClock) -> Any:
    return lambda **more: Turn(table, clock=clock, **more)


def test_second_one_is_refused_until_the_turn_is_given_back(make: Any) -> None:
    first, second = make(), make()
    first.take()
    with pytest.raises(
        OutputStoreError, match=rf"process {os.getpid()} on .* is already compacting; try again later"
    ):
        second.take()
    first.give_back()
    second.take()
    second.check()


def test_of_many_at_once_one_has_it(make: Any) -> None:
    def attempt(_: int) -> bool:
        try:
            make().take()
        except OutputStoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1


def test_one_that_is_heard_of_keeps_its_turn(make: Any, clock: ManualClock) -> None:
    first = make(machine="elsewhere")
    first.take()
    for _ in range(4):
        clock.advance(LEASE_SECONDS / 2)
        first.keep()
    with pytest.raises(OutputStoreError, match=f"given up in {LEASE_SECONDS} s"):
        make().take()


def test_one_that_is_not_heard_of_is_given_up_and_notices(make: Any, clock: ManualClock) -> None:
    first, second = make(machine="elsewhere"), make()
    first.take()
    clock.advance(LEASE_SECONDS + 1)
    second.take()
    with pytest.raises(OutputStoreError, match="another process is already compacting"):
        first.keep()
    first.give_back()
    with pytest.raises(OutputStoreError):
        make().take()


def test_one_that_was_killed_here_is_not_waited_for(make: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    make(process_id=ended.pid).take()
    make().take()


def test_process_of_that_number_elsewhere_is_waited_for(make: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    make(process_id=ended.pid, machine=f"{this_machine()} other").take()
    with pytest.raises(OutputStoreError):
        make().take()


def test_damaged_turn_is_over(make: Any, table: MemoryStore) -> None:
    table.put("turns/00000007.json", b"", content_type="")
    make().take()
    assert [info.key for info in table.list("turns/")] == ["turns/00000008.json"]
