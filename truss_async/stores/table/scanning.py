"""A scan: what a store holds, from objects and from compacted files alike, each request once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ...errors import InvalidResultError, ObjectNotFoundError
from .catalog import Catalog
from .columns import DAMAGED, FAILED, SUCCEEDED, arrow, microseconds, result_schema
from .manifest import KEY, read_manifest
from .parquet_files import (
    batches_of,
    ids_in,
    keep,
    listed_partitions,
    opened_file,
    stored_at_in,
    without_stored_at,
)
from .result_rows import in_batches

if TYPE_CHECKING:
    from pyarrow import RecordBatch, RecordBatchReader

    from ...clock import Clock
    from ..protocol import ObjectInfo, ObjectStore
    from .catalog import Entry
    from .result_rows import ResultObjects


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What is asked for: results stored since a moment, of request ids that start so, those alone that failed."""

    since: datetime | None = None
    prefix: str = ""
    failed: bool = False

    @property
    def since_us(self) -> int | None:
        return None if self.since is None else microseconds(self.since)

    def takes(self, entry: Entry) -> bool:
        """Whether the object is asked for."""
        since = self.since_us
        return (
            entry.request_id.startswith(self.prefix)
            and (since is None or entry.modified_us >= since)
            and (entry.is_error or not self.failed)
        )

    def of(self, batch: RecordBatch) -> RecordBatch:
        """Those rows of compacted results that are asked for."""
        from pyarrow import compute

        if self.prefix:
            batch = batch.filter(compute.starts_with(batch.column("request_id"), pattern=self.prefix))
        if self.failed:
            failures = arrow().array([FAILED, DAMAGED])
            batch = batch.filter(compute.is_in(batch.column("status"), value_set=failures))
        if self.since is not None:
            stored = compute.coalesce(batch.column("stored_at"), batch.column("time"))
            since = arrow().scalar(self.since, type=stored.type)
            batch = batch.filter(compute.greater_equal(stored, since))
        return batch


def scan(
    source: ResultObjects, tables: list[ObjectStore], scanned: Scanned, *, clock: Clock
) -> RecordBatchReader:
    """The results, with the columns of ``result_schema``, in no promised order; nothing is read before they are taken.

    The objects are listed before the tables are, and read after: what is compacted and removed meanwhile is found in one
    or the other.
    """
    batches = _batches(source, tables, scanned, clock=clock)
    return arrow().RecordBatchReader.from_batches(result_schema(), batches)


def _batches(
    source: ResultObjects, tables: list[ObjectStore], scanned: Scanned, *, clock: Clock
) -> Iterator[RecordBatch]:
    listing = _results_of(source, source.layout.prefix(scanned.prefix))
    with closing(Catalog(listing, source.layout, listed_at=clock.now())) as catalog:
        has_objects = not catalog.is_empty()
        for batch in _compacted(tables, lambda batch: current_rows(batch, catalog) if has_objects else None):
            yield from _asked_for(batch, scanned)
        gone: set[str] = set()
        entries = (entry for entry in catalog.pending() if scanned.takes(entry))
        for batch in in_batches(source.rows(entries, on_gone=lambda entry: gone.add(entry.request_id))):
            yield without_stored_at(batch)
        if gone:
            for batch in _compacted(tables, lambda batch: [each in gone for each in ids_in(batch)]):
                yield from _asked_for(batch, scanned)


def _results_of(source: ResultObjects, prefix: str) -> Iterator[ObjectInfo]:
    """The listing, without a table's own manifest, which is named as a result might be."""
    try:
        is_table = read_manifest(source.objects) is not None
    except InvalidResultError:
        is_table = False
    return (info for info in source.objects.list(prefix) if not (is_table and info.key == KEY))


def current_rows(batch: RecordBatch, catalog: Catalog) -> list[bool]:
    """Which of the compacted rows still stand; the objects that say the same need no more reading."""
    ids = ids_in(batch)
    known = catalog.known(ids)
    if not known:
        return [True] * len(ids)
    statuses = batch.column("status").to_pylist()
    stands, done = [], []
    for request_id, stored_at, status in zip(ids, stored_at_in(batch), statuses, strict=True):
        entry = known.get(request_id)
        # An error that is left over does not stand against a result.
        is_current = entry is None or (
            entry.modified_us == stored_at or (entry.is_error and status == SUCCEEDED)
        )
        stands.append(is_current)
        if entry is not None and is_current:
            done.append(request_id)
    catalog.mark_done(done)
    return stands


def _compacted(
    tables: list[ObjectStore], stands: Callable[[RecordBatch], list[bool] | None]
) -> Iterator[RecordBatch]:
    for table in tables:
        for partition in listed_partitions(table):
            try:
                with opened_file(table, partition) as file:
                    for batch in batches_of(file):
                        yield keep(batch, stands(batch))
            except ObjectNotFoundError:
                continue  # emptied since


def _asked_for(batch: RecordBatch, scanned: Scanned) -> Iterator[RecordBatch]:
    found = scanned.of(batch)
    if found.num_rows:
        yield without_stored_at(found)
