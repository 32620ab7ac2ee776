"""What is in a table, as its readers see it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyarrow import RecordBatch

    from truss_async.stores import ObjectStore


def rows_of(batches: Iterable[RecordBatch]) -> list[dict[str, Any]]:
    """All rows, by request id."""
    rows = [row for batch in batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: str(row["request_id"]))


def ids_of(batches: Iterable[RecordBatch]) -> list[str]:
    """The request ids, in order."""
    return [row["request_id"] for row in rows_of(batches)]


def files_of(table: ObjectStore) -> dict[str, list[str]]:
    """The request ids in each Parquet file, as one sees them who knows nothing of a manifest."""
    found = {}
    for info in table.list():
        if info.key.endswith(".parquet"):
            with table.open(info.key) as file:
                content = parquet.read_table(io.BytesIO(file.read()), columns=["request_id"])
            found[info.key] = sorted(content["request_id"].to_pylist())
    return dict(sorted(found.items()))


def all_ids(table: ObjectStore) -> list[str]:
    """Those of all files."""
    return sorted(each for ids in files_of(table).values() for each in ids)
