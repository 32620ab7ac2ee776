"""Which rows a file of a table has, and how many of which kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .columns import DAMAGED, FAILED
from .row_ids import RowIds

if TYPE_CHECKING:
    from pyarrow import RecordBatch


class RowCounts:
    """Counts what passes."""

    def __init__(self) -> None:
        self.rows = self.failed = self.damaged = 0
        self.ids = RowIds()

    def counted(self, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        """The same batches."""
        for batch in batches:
            self.ids.add(batch.column("request_id").to_pylist())
            statuses = batch.column("status").to_pylist()
            self.rows += len(statuses)
            self.failed += statuses.count(FAILED)
            self.damaged += statuses.count(DAMAGED)
            yield batch
