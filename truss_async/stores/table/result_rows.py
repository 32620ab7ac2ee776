"""The objects of a store as rows: many are read at once, and few are held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...errors import InvalidResultError, ObjectNotFoundError
from .columns import Row, damaged_row, record_batch, result_row

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from ...contract import ArtifactReference, AsyncPredictResult
    from ..layout import KeyLayout
    from ..protocol import ObjectStore
    from .catalog import Entry

THREADS: Final = 16
BATCH_ROWS: Final = 10_000
BATCH_BYTES: Final = 32 * 1024 * 1024
_READ_AHEAD: Final = 4 * THREADS
_READ_AHEAD_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObjects:
    """A store with what is needed to read its objects.

    ``read`` gives the result that an entry's object holds, and raises as ``OutputStore.get`` does; ``artifacts`` those that
    it refers to.
    """

    objects: ObjectStore
    layout: KeyLayout
    read: Callable[[Entry], AsyncPredictResult]
    artifacts: Callable[[Entry, AsyncPredictResult], tuple[ArtifactReference, ...]]

    def rows(
        self, entries: Iterable[Entry], *, on_gone: Callable[[Entry], object] = lambda _: None
    ) -> Iterator[Row]:
        """A row for each entry, in their order; an object that is gone by now has none, and ``on_gone`` is told.

        Raises:
            OutputStoreError: the store cannot be read.
        """
        waiting: deque[tuple[Entry, Future[Row | None]]] = deque()
        held = 0
        with ThreadPoolExecutor(THREADS, thread_name_prefix="truss-async-table") as threads:
            try:
                for entry in entries:
                    waiting.append((entry, threads.submit(self._row, entry)))
                    held += entry.size_bytes
                    while len(waiting) > _READ_AHEAD or (held > _READ_AHEAD_BYTES and waiting):
                        held -= waiting[0][0].size_bytes
                        yield from _taken(waiting, on_gone)
                while waiting:
                    yield from _taken(waiting, on_gone)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _row(self, entry: Entry) -> Row | None:
        try:
            result = self.read(entry)
            artifacts = self.artifacts(entry, result)
        except ObjectNotFoundError:
            return None
        except InvalidResultError as error:
            return damaged_row(
                entry.request_id, str(error), time_us=entry.modified_us, stored_at_us=entry.stored_at_us
            )
        return result_row(result, artifacts=artifacts, stored_at_us=entry.stored_at_us)


def _taken(
    waiting: deque[tuple[Entry, Future[Row | None]]], on_gone: Callable[[Entry], object]
) -> Iterator[Row]:
    entry, future = waiting.popleft()
    row = future.result()
    if row is None:
        on_gone(entry)
    else:
        yield row


def in_batches(rows: Iterable[Row]) -> Iterator[RecordBatch]:
    """The rows as Arrow, so many at a time that they take little memory."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield record_batch(batch)
            batch, size = [], 0
    if batch:
        yield record_batch(batch)
