"""Large bodies in parts: several at once, and no more of them in memory than this process can bear."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from _typeshed import SupportsRead

    from .protocol import Body

Part = TypeVar("Part")

MEBIBYTE: Final = 1024 * 1024
SINGLE_PUT_BYTES: Final = 16 * MEBIBYTE
"""A body up to this size is one request; a larger one goes in parts, several at once."""

PART_BYTES: Final = 8 * MEBIBYTE
MOST_PARTS: Final = 10_000  # S3's limit, the lowest
CONNECTIONS: Final = 10
UPLOADS_AT_ONCE: Final = 4
PART_ATTEMPTS: Final = 3
BYTES_AT_ONCE: Final = 96 * MEBIBYTE


class ByteBudget:
    """How many bytes may be held at once; a piece that would exceed it waits. A larger one is let through alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + size <= self._limit)
            self._taken += size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """For as long as the block runs."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)


# Of the whole process: the threads that save do not know of each other.
IN_MEMORY: Final = ByteBudget(BYTES_AT_ONCE)
_UPLOADS: Final = threading.BoundedSemaphore(UPLOADS_AT_ONCE)


def _never(_error: Exception) -> bool:
    return False


def part_size(size_bytes: int) -> int:
    """The bytes of each part, so that there are not too many parts."""
    least = -(-size_bytes // MOST_PARTS)
    return max(PART_BYTES, -(-least // MEBIBYTE) * MEBIBYTE)


@contextmanager
def one_of_few_uploads() -> Iterator[None]:
    """Wait until few enough large uploads are under way."""
    with _UPLOADS:
        yield


def upload_in_parts(
    file: SupportsRead[bytes],
    *,
    part_bytes: int,
    upload: Callable[[int, bytes], Part],
    is_worth_another: Callable[[Exception], bool] = _never,
    budget: ByteBudget = IN_MEMORY,
) -> list[Part]:
    """Call ``upload(number, bytes)`` for each part, from 1 on, in several threads; return what it returned, in order.

    The file is read by this thread alone, as fast as parts are sent. A failure that ``is_worth_another`` attempt costs
    its own part one, not the whole. After the first that is not, or is so for the third time, nothing more is read, and
    it is raised when no part is under way any more.
    """

    def send(number: int, body: bytes) -> Part:
        for _ in range(PART_ATTEMPTS - 1):
            try:
                return upload(number, body)
            except Exception as error:
                if failed.is_set() or not is_worth_another(error):
                    raise
        return upload(number, body)

    sending: list[Future[Part]] = []
    failed = threading.Event()

    def on_end(part: Future[Part]) -> None:
        budget.give_back(part_bytes)
        if not part.cancelled() and part.exception() is not None:
            failed.set()

    with one_of_few_uploads(), ThreadPoolExecutor(CONNECTIONS, "truss-async-part") as pool:
        try:
            while not failed.is_set() and (body := _next_part(file, part_bytes, budget)):
                sending.append(_submitted(pool, send, len(sending) + 1, body, on_end))
            return [each.result() for each in sending]
        finally:
            pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor,
    upload: Callable[[int, bytes], Part],
    number: int,
    body: bytes,
    on_end: Callable[[Future[Part]], None],
) -> Future[Part]:
    try:
        part = pool.submit(upload, number, body)
    except RuntimeError as error:  # the process is ending
        part = Future()
        part.set_exception(error)
    part.add_done_callback(on_end)
    return part


def _next_part(file: SupportsRead[bytes], size: int, budget: ByteBudget) -> bytes:
    """The next bytes of the file, fewer only at its end; the budget is charged with them, if there are any."""
    budget.take(size)
    body = b""
    try:
        body = read_fully(file, size)
    finally:
        if not body:
            budget.give_back(size)
    return body


@contextmanager
def whole_body(body: Body, file: SupportsRead[bytes], size: int) -> Iterator[bytes]:
    """All of a small body for one request: the caller's own bytes, or what the file holds, charged to the budget."""
    if isinstance(body, bytes):
        yield body
        return
    with IN_MEMORY.taken(size):
        yield read_fully(file, size)


def read_fully(file: SupportsRead[bytes], size: int) -> bytes:
    """So many bytes, fewer only at the file's end: a file without a buffer may give less at a time."""
    body = file.read(size)
    while body and len(body) < size and (more := file.read(size - len(body))):
        body += more
    return body
