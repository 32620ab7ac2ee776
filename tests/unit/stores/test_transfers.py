"""Uploads in parts, without a store."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.stores.transfers import (
    CONNECTIONS,
    MEBIBYTE,
    MOST_PARTS,
    PART_BYTES,
    ByteBudget,
    part_size,
    upload_in_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import SupportsRead

CONTENT = bytes(range(250)) * 4


class FewAtATime(io.RawIOBase):
    """A file without a buffer, which gives less than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, 7))


class Meter:
    """An upload that notes how many run at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.threads: set[int] = set()

    def __call__(self, number: int, content: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
        with self.lock:
            self.now -= 1
        return number, content


@pytest.mark.parametrize("make", [io.BytesIO, FewAtATime])
@pytest.mark.parametrize("part_bytes", [1, 100, 333, 1000, 5000])
def test_parts_are_the_whole_file_in_order(
    make: Callable[[bytes], SupportsRead[bytes]], part_bytes: int
) -> None:
    parts = upload_in_parts(make(CONTENT), part_bytes=part_bytes, upload=lambda *part: part)
    assert [number for number, _ in parts] == [*range(1, len(parts) + 1)]
    assert b"".join(content for _, content in parts) == CONTENT
    assert {len(content) for _, content in parts[:-1]} <= {part_bytes}


def test_threads_that_upload_at_once_share_one_budget() -> None:
    budget, meter = ByteBudget(300), Meter()

    def upload(_: int) -> list[tuple[int, bytes]]:
        return upload_in_parts(io.BytesIO(CONTENT), part_bytes=100, upload=meter, budget=budget)

    with ThreadPoolExecutor(8) as pool:
        for parts in pool.map(upload, range(16)):
            assert len(parts) == 10
    assert meter.most <= 3
    budget.take(300)  # all of it was given back


def test_no_more_than_so_many_connections_at_once() -> None:
    all_there = threading.Barrier(CONNECTIONS)

    def upload(number: int, _: bytes) -> int:
        all_there.wait(timeout=30)
        return number

    parts = upload_in_parts(io.BytesIO(bytes(2 * CONNECTIONS)), part_bytes=1, upload=upload)
    assert parts == [*range(1, 2 * CONNECTIONS + 1)]


def test_first_failure_is_raised_and_ends_the_reading() -> None:
    file, budget = io.BytesIO(bytes(100_000)), ByteBudget(20)

    def upload(number: int, _: bytes) -> int:
        if number == 3:
            raise ConnectionError("gone")
        return number

    with pytest.raises(ConnectionError, match="gone"):
        upload_in_parts(file, part_bytes=10, upload=upload, budget=budget)
    assert file.tell() < 1000
    budget.take(20)


def test_a_part_that_was_damaged_on_its_way_is_sent_again_alone() -> None:
    sent: list[int] = []

    def upload(number: int, body: bytes) -> tuple[int, bytes]:
        sent.append(number)
        if number == 2 and sent.count(2) < 3:
            raise ConnectionError("damaged")
        return number, body

    def is_worth_another(error: Exception) -> bool:
        return "damaged" in str(error)

    file = io.BytesIO(CONTENT)
    parts = upload_in_parts(file, part_bytes=100, upload=upload, is_worth_another=is_worth_another)
    assert b"".join(content for _, content in parts) == CONTENT
    assert sorted(sent) == [1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_file_that_fails_half_way_gives_everything_back() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 50:
                raise OSError("gone")
            return super().read(size)

    budget, meter = ByteBudget(30), Meter()
    with pytest.raises(OSError, match="gone"):
        upload_in_parts(Failing(bytes(100)), part_bytes=10, upload=meter, budget=budget)
    budget.take(30)
    assert not any(thread.ident in meter.threads for thread in threading.enumerate())


def test_a_piece_over_the_budget_is_let_through_alone() -> None:
    budget = ByteBudget(10)
    with budget.taken(25):
        pass
    budget.take(10)


@given(st.integers(0, 5 * 1024**4))
def test_parts_are_not_too_many_and_no_smaller_than_they_must(size: int) -> None:
    part = part_size(size)
    assert part >= PART_BYTES
    assert part % MEBIBYTE == 0
    assert -(-size // part) <= MOST_PARTS
    assert part == PART_BYTES or (part - MEBIBYTE) * MOST_PARTS < size
