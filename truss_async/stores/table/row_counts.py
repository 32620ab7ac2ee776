"""How many rows of which kind a table has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .columns import DAMAGED, FAILED

if TYPE_CHECKING:
    from pyarrow import RecordBatch


class RowCounts:
    """Counts what passes."""

    def __init__(self) -> None:
        self.rows = self.failed = self.damaged = 0

    def counted(self, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        """The same batches."""
        for batch in batches:
            statuses = batch.column("status").to_pylist()
            self.rows += len(statuses)
            self.failed += statuses.count(FAILED)
            self.damaged += statuses.count(DAMAGED)
            yield batch
