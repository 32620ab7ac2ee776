"""What a table of results holds, as a store of objects lists it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ...errors import InvalidResultError
from ..result_objects import ResultInfo
from .columns import STORED_AT, SUCCEEDED
from .manifest import KEY, read_manifest
from .parquet_files import batches_of, listed_partitions, opened_file

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from ..protocol import ObjectStore
    from .scanning import Scanned

MANIFEST: Final = KEY
_LISTED: Final = ["request_id", "time", "status", "data", STORED_AT]


def is_table(objects: ObjectStore) -> bool:
    """Whether compacted results lie there, and no objects."""
    try:
        return read_manifest(objects) is not None
    except InvalidResultError:
        return False


def listed_rows(table: ObjectStore, asked: Scanned) -> Iterator[ResultInfo]:
    """The results, or what failed, that are asked for; the size is that of the output."""
    for partition in listed_partitions(table):
        with opened_file(table, partition) as file:
            for batch in batches_of(file, columns=_LISTED):
                yield from _infos(asked.of(batch), failed=asked.failed)


def _infos(batch: RecordBatch, *, failed: bool) -> Iterator[ResultInfo]:
    from pyarrow import compute

    columns = (batch.column("request_id"), batch.column("status"), batch.column("time"))
    sizes = compute.binary_length(batch.column("data"))
    written = compute.coalesce(batch.column(STORED_AT), columns[2])
    rows = zip(*(each.to_pylist() for each in (*columns[:2], sizes, written)), strict=True)
    for request_id, status, size, at in rows:
        if (status == SUCCEEDED) != failed:
            yield ResultInfo(request_id, size_bytes=size or 0, modified_at=at)
